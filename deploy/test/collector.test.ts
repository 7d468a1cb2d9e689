import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ATTRIBUTE } from '@loom/shared/telemetry.ts';
import { agentSpanIdOf, turnSpanIdOf } from '@loom/shared/turn-span.ts';
import { parse } from 'yaml';
import { ATTRIBUTE as TURN_ATTRIBUTE } from '../../services/trace-grouper/src/core/attribute.ts';
import { spansOf } from '../../services/trace-grouper/src/core/spans.ts';
import { danglingParents, isForPhoenix, NOT_FOR_PHOENIX } from '../../services/trace-grouper/src/core/tree.ts';
import { OPTIONS, workingTurn } from '../../services/trace-grouper/test/sample-turn.ts';

interface Pipeline {
  receivers: string[];
  processors: string[];
  exporters: string[];
}
interface Component {
  sending_queue?: { storage?: string };
  [setting: string]: unknown;
}

const config = parse(readFileSync(join(import.meta.dirname, '../otel/collector.yaml'), 'utf8'), { merge: true }) as {
  receivers: Record<string, Component>;
  processors: Record<string, Component>;
  exporters: Record<string, Component>;
  extensions: Record<string, Component>;
  service: { extensions: string[]; pipelines: Record<string, Pipeline> };
};
const { extensions, pipelines } = config.service;

/** What the gateway sends of the sample turn: a request span for each call, and one of the pipeline under it. */
function gatewaySpans() {
  const { traceId, rootSpanId, calls } = workingTurn();
  return calls.flatMap(({ spanId, agentId }) => {
    const parentSpanId = agentId ? agentSpanIdOf(traceId, rootSpanId, agentId) : turnSpanIdOf(traceId, rootSpanId);
    return [
      { spanId, parentSpanId, name: 'loom: POST /v1/messages', attributes: { [ATTRIBUTE.openinferenceKind]: 'CHAIN' } },
      { spanId: `${spanId}s`, parentSpanId: spanId, name: 'send loom:requests', attributes: {} },
    ];
  });
}

describe('the collector configuration', () => {
  test('names nothing that it does not have, and has nothing that it does not name', () => {
    const named = (part: keyof Pipeline) => [...new Set(Object.values(pipelines).flatMap((one) => one[part]))].sort();

    expect({
      receivers: named('receivers'),
      processors: named('processors'),
      exporters: named('exporters'),
      extensions: extensions.toSorted(),
    }).toEqual({
      receivers: Object.keys(config.receivers).sort(),
      processors: Object.keys(config.processors).sort(),
      exporters: Object.keys(config.exporters).sort(),
      extensions: Object.keys(config.extensions).sort(),
    });
  });

  test('keeps the queue of each backend on disk', () => {
    const storages = Object.values(config.exporters).map(({ sending_queue }) => sending_queue?.storage);

    expect(storages).toEqual(['file_storage', 'file_storage']);
    expect(extensions).toEqual(storages.slice(0, 1));
  });

  test('sends everything to Logfire', () => {
    const complete = Object.entries(pipelines).filter(([, { processors }]) => processors.join() === 'memory_limiter');

    expect(complete.map(([name, { exporters }]) => [name, exporters])).toEqual([
      ['traces/logfire', ['otlp_http/logfire']],
      ['logs/logfire', ['otlp_http/logfire']],
      ['metrics/logfire', ['otlp_http/logfire']],
    ]);
  });

  test('keeps from Phoenix what has no kind, by the condition that the code knows', () => {
    expect(pipelines['traces/phoenix']).toEqual({
      receivers: ['otlp'],
      processors: ['memory_limiter', 'filter/phoenix'],
      exporters: ['otlp_http/phoenix'],
    });
    expect(config.processors['filter/phoenix']?.['trace_conditions']).toEqual([NOT_FOR_PHOENIX]);
    expect(TURN_ATTRIBUTE.spanKind).toBe(ATTRIBUTE.openinferenceKind);
  });

  test('listens on loopback alone', () => {
    const protocols = config.receivers['otlp']?.['protocols'] ?? {};
    const hosts = Object.values(protocols).map(({ endpoint }) => /:-(.*):\d+\}$/.exec(endpoint)?.[1]);

    expect(hosts).toEqual(['127.0.0.1', '127.0.0.1']);
  });

  test('leaves Phoenix whole trees of what Loom sends, and nothing of the pipeline', () => {
    const spans = [...spansOf(workingTurn(), OPTIONS), ...gatewaySpans()];

    const routed = spans.filter(isForPhoenix);

    expect(danglingParents(routed)).toEqual([]);
    expect(routed.map(({ name }) => name).sort()).toEqual([
      'chat claude-haiku-4-5-20251001',
      'chat claude-opus-5',
      'chat claude-opus-5',
      'collect-metadata',
      'execute_tool Bash',
      'execute_tool Read',
      'execute_tool Task',
      'invoke_agent Explore',
      'loom: POST /v1/messages',
      'loom: POST /v1/messages',
      'loom: POST /v1/messages',
      'turn',
      'user-turn:b1c5e1f0-8d3a-4b8e-9c60-5d1f6a3f7e21',
    ]);
  });
});
