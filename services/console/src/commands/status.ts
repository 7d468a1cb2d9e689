import { setTimeout as delay } from 'node:timers/promises';
import { plainJson } from '@loom/shared/plain.ts';
import { readStatus } from '../adapters/read-status.ts';
import { withContext } from '../context.ts';
import { formatStatus } from '../core/status-page.ts';

const REDRAW_MS = 2_000;

/** Clears the screen and goes to its first cell (ECMA-48). */
const CLEAR = '\u001b[2J\u001b[H';

/** `loom status`: once, or every 2 s until Ctrl-C. */
export function showStatus({ json, watch }: { json?: true; watch?: true }): Promise<void> {
  return withContext(watch ? 'patient' : 'fail-fast', async ({ redis, prefix, screen, print }) => {
    for (;;) {
      const status = await readStatus(redis, prefix);
      const page = json ? plainJson(status) : formatStatus(status, screen).join('\n');
      print(watch && !json && process.stdout.isTTY ? `${CLEAR}${page}` : page);
      if (!watch) return;
      await delay(REDRAW_MS);
    }
  });
}
