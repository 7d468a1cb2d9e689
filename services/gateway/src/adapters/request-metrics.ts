import { type IncomingMessage, METHODS, type ServerResponse } from 'node:http';
import type { Meter } from '@opentelemetry/api';
import { COUNT_TOKENS_PATH, MESSAGES_PATH } from '../core/paths.ts';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const METHOD_NAMES = new Set(METHODS);
const ROUTES = new Set([MESSAGES_PATH, COUNT_TOKENS_PATH]);

/** What the gateway's requests took, by https://opentelemetry.io/docs/specs/semconv/http/http-metrics/; other paths are `*`. */
export function requestMetrics(meter: Meter): (request: IncomingMessage, response: ServerResponse) => void {
  const duration = meter.createHistogram('http.server.request.duration', {
    unit: 's',
    description: 'Time of a request, to the last byte of its answer',
    advice: { explicitBucketBoundaries: SECONDS },
  });
  const active = meter.createUpDownCounter('http.server.active_requests', { description: 'Requests under way' });

  return ({ method = '', url = '' }, response) => {
    const began = performance.now();
    const [path = ''] = url.split('?', 1);
    const request = {
      'http.request.method': METHOD_NAMES.has(method) ? method : '_OTHER',
      'http.route': ROUTES.has(path) ? path : '*',
    };
    active.add(1, request);
    response.once('close', () => {
      active.add(-1, request);
      // A client that leaves before there is one has got none.
      const status = response.headersSent ? { 'http.response.status_code': response.statusCode } : {};
      duration.record((performance.now() - began) / 1_000, { ...request, ...status });
    });
  };
}
