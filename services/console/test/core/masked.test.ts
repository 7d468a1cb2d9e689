import { describe, expect, test } from '@jest/globals';
import { formatDiff } from '../../src/core/diff-page.ts';
import { masked } from '../../src/core/masked.ts';
import { screen } from './../events.ts';

describe('masked', () => {
  test.each([
    ['{"ANTHROPIC_AUTH_TOKEN": "tea at four"}', '{"ANTHROPIC_AUTH_TOKEN": "…"}'],
    ['{"env": {"ANTHROPIC_CUSTOM_HEADERS": "x-a: teatime"}}', '{"env": {"ANTHROPIC_CUSTOM_HEADERS": "…"}}'],
    ['{"LOOM_HOOK_SECRET_FILE": "/run/secret"}', '{"LOOM_HOOK_SECRET_FILE": "/run/secret"}'],
    ['{"CLAUDE_CODE_GATEWAY_HINT_HEADERS": "1"}', '{"CLAUDE_CODE_GATEWAY_HINT_HEADERS": "1"}'],
    ['{"command": "curl -H \'Authorization: Bearer tea\'"}', '{"command": "curl -H \'Authorization: Bearer …\'"}'],
    ['{"url": "http://me:tea@host/"} // sk-ant-0123456789', '{"url": "http://…@host/"} // …'],
    ['{"model": "opus"', '{"model": "opus"'],
  ])('shows %s without its secret', (text, shown) => {
    expect(masked(text)).toBe(shown);
  });
});

describe('formatDiff', () => {
  test('shows what changes, in colours, without secrets and without what a terminal would obey', () => {
    const before = '{\n  "API_KEY": "tea at four",\r\n  "model": "opus"\n}';
    const after = '{\n  "env": "\u001b[2J",\n  "API_KEY": "tea at four",\r\n  "model": "opus"\n}';

    expect(formatDiff('s.json', before, after, screen)).toEqual([
      '--- s.json',
      '+++ s.json',
      '<cyan:@@ -1,4 +1,5 @@>',
      ' {',
      '<green:+  "env": "",>',
      '   "API_KEY": "…",',
      '   "model": "opus"',
      ' }',
      '\\ No newline at end of file',
    ]);
  });
});
