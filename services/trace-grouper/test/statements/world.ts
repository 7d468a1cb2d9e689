import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LoomEvent } from '@loom/shared/event.ts';
import { formatMetadata } from '@loom/shared/metadata.ts';
import { type Answer, messageOf } from '@loom/shared/testing/answer.ts';
import { ClaudeCode, type ClaudeCodeOptions } from '@loom/shared/testing/claude-code/claude-code.ts';
import { type ClientRequest, uuidOf } from '@loom/shared/testing/claude-code/request.ts';
import { EventReader } from '@loom/shared/testing/event-reader.ts';
import { freePort } from '@loom/shared/testing/free-port.ts';
import { type ReceivedSpan, startOtlpReceiver } from '@loom/shared/testing/otlp.ts';
import type { RedisServer } from '@loom/shared/testing/redis.ts';
import { answer, apiError, type Reply } from '@loom/shared/testing/reply.ts';
import { until } from '@loom/shared/testing/until.ts';
import type { RecordedRequest, Upstream } from '@loom/shared/testing/upstream.ts';
import { ServiceProcess } from '../../../gateway/test/e2e/service-process.ts';
import { open } from '../../../gateway/test/transport/wire.ts';

/** What answers one request: said as a model would, or made by hand. */
export type Scene = Answer | ((request: RecordedRequest) => Reply);

let worlds = 0;
let scenes = 0;

/**
 * Services as processes, between clients, an upstream that answers each request as its sender says, and a collector that
 * keeps everything.
 *
 * @param names the services, in the order of their start
 * @param settings for all of them
 */
export async function openWorld(
  { redis, upstream }: { redis: RedisServer; upstream: Upstream },
  names: string[],
  settings: Record<string, string> = {},
) {
  worlds += 1;
  const prefix = `{w${worlds}}`;
  const recorder = await startOtlpReceiver();
  const state = await mkdtemp(join(tmpdir(), 'loom-statements-'));
  const ports = { LOOM_PORT: String(await freePort()), LOOM_ADMIN_PORT: String(await freePort()) };
  const environment = (name: string) => ({
    ...{ REDIS_URL: redis.url, LOOM_KEY_PREFIX: prefix, OTEL_SERVICE_NAME: name },
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: recorder.url, LOOM_UPSTREAM_URL: upstream.url, LOOM_SPOOL_DIR: state },
    ...{ LOOM_TURN_GRACE_MS: '100', LOOM_READ_MS: '1000', ...ports, ...settings },
  });
  const services = new Map(names.map((name) => [name, new ServiceProcess(name, async () => environment(name))]));
  upstream.script = playScenes;
  const url = `http://127.0.0.1:${ports.LOOM_PORT}`;
  const reader = redis.client();
  const events = new EventReader(reader, prefix);
  await Promise.all([...services.values()].map((service) => service.start()));

  function playScenes(request: RecordedRequest): Reply {
    const scene = playing.get(String(request.headers['x-scene'])) ?? (() => apiError(500, 'api_error', 'no scene'));
    return typeof scene === 'function' ? scene(request) : answer(scene)(request);
  }

  const world = {
    prefix,
    recorder,
    url,
    reader,
    adminUrl: `http://127.0.0.1:${ports.LOOM_ADMIN_PORT}`,
    environment,
    service(name: string): ServiceProcess {
      const service = services.get(name);
      if (!service) throw new Error(`expected one of ${names.join()}, got ${name}`);
      return service;
    },
    /** Sends a request that the upstream answers so. */
    send({ path, headers, ...init }: ClientRequest, scene: Scene): Promise<Response> {
      scenes += 1;
      playing.set(String(scenes), scene);
      return fetch(url + path, { ...init, headers: { ...headers, 'x-scene': String(scenes) } });
    },
    /** The same, read to its end; whether it was a whole 200. */
    async deliver(request: ClientRequest, scene: Scene): Promise<boolean> {
      const response = await world.send(request, scene);
      const body = await response.text().catch(() => '');
      return response.status === 200 && (body.includes('event: message_stop') || body.endsWith('}'));
    },
    /** Sends a request, on a connection of its own, and leaves once the upstream has it and as much came as it answers. */
    async leave(request: ClientRequest, scene: (request: RecordedRequest) => Reply): Promise<void> {
      const heard = Promise.withResolvers<Reply>();
      scenes += 1;
      playing.set(String(scenes), (received) => {
        const reply = scene(received);
        heard.resolve(reply);
        return reply;
      });
      const headers = Object.entries({ ...request.headers, 'x-scene': String(scenes) }).flat();
      const { request: sent, answered } = open(url, { path: request.path, headers, body: request.body });
      const left = answered.catch(() => undefined);
      const { chunks } = await heard.promise;
      if (chunks.length > 0) await once((await answered) as IncomingMessage, 'data');
      sent.destroy();
      await left;
    },
    /** Waits until the trace-grouper has taken all that was published of exchanges. */
    async taken(): Promise<void> {
      const groups = () =>
        Promise.all(['requests', 'responses', 'captures'].map((name) => reader.xinfo('GROUPS', `${prefix}:${name}`)));
      await until(async () => {
        const own = ((await groups()) as unknown[][][]).flat().filter((group) => group[1] === 'trace-grouper');
        // name, …, pending, …, lag, …: a flat list of names and values.
        return own.every((group) => group[5] === 0 && group[11] === 0);
      });
    },
    async turnsEnded(session: string): Promise<LoomEvent<'turn.ended'>[]> {
      return (await events.of('turn.ended')).filter(({ subject }) => subject === session);
    },
    /**
     * Waits until a turn of the session has ended and its spans have come, each with the request span above it; the
     * spans of the session's traces.
     *
     * @param elsewhere spans that others export
     */
    async ended(session: string, elsewhere: string[] = []): Promise<ReceivedSpan[]> {
      await until(async () => (await world.turnsEnded(session)).length > 0);
      await until(() => world.of(session).some(({ name }) => name === 'turn'));
      await until(() => orphansOf(shown(world.of(session)), elsewhere).length === 0);
      return world.of(session);
    },
    /** The spans so far of the traces in which a session appears. */
    of(session: string): ReceivedSpan[] {
      const said = recorder.spans.filter(({ attributes }) => attributes['session.id'] === session);
      const traces = new Set(said.map(({ traceId }) => traceId));
      return recorder.spans.filter(({ traceId }) => traces.has(traceId));
    },
    /** Drains every service: what they still hold is exported. */
    async stop(): Promise<void> {
      await Promise.all([...services.values()].filter((service) => service.isRunning).map((service) => service.stop()));
    },
    async close(): Promise<void> {
      await Promise.all([...services.values()].map((service) => service.kill()));
      await recorder.close();
      await rm(state, { recursive: true, force: true });
    },
  };
  return world;
}

const playing = new Map<string, Scene>();

export type World = Awaited<ReturnType<typeof openWorld>>;

/** The turn that the hook of a session names with its first prompt. */
export function turnOf(session: string, prompt = 1): { traceId: string; rootSpanId: string } {
  const hash = createHash('sha256').update(`${session} ${prompt}`).digest('hex');
  return { traceId: hash.slice(0, 32), rootSpanId: hash.slice(32, 48) };
}

/** A client of the newest release whose hook names its turns; `more` goes into the hook's line as well. */
export function talker(
  name: string,
  options: Partial<ClaudeCodeOptions> = {},
  more: Record<string, unknown> = {},
): ClaudeCode {
  let prompts = 0;
  const hook = (prompt: string, session: string) => {
    prompts += 1;
    const { traceId, rootSpanId } = turnOf(session, prompts);
    const place = { session_id: session, trace_id: traceId, traceparent: `00-${traceId}-${rootSpanId}-01` };
    return formatMetadata({ v: 1, ...place, prompt, source: 'alpha', sent_at: new Date().toISOString(), ...more });
  };
  return new ClaudeCode({ version: '2.1.330', session: uuidOf(name), hintHeaders: true, hook, ...options });
}

/** As an answer goes into the client's history. */
export const heard = messageOf;

/** The spans of a tree as lines, each under its parent, siblings in their order of text. */
export function treeOf(spans: readonly ReceivedSpan[], parentId = '', indent = ''): string[] {
  const children = spans.filter((span) => span.parentId === parentId);
  const drawn = children.map((span) => [`${indent}${span.name}`, ...treeOf(spans, span.spanId, `${indent}  `)]);
  return drawn.sort((a, b) => (a.join('\n') < b.join('\n') ? -1 : 1)).flat();
}

/** What Phoenix shows. */
export const shown = (spans: readonly ReceivedSpan[]) =>
  spans.filter(({ attributes }) => attributes['openinference.span.kind'] !== undefined);

/** `<span> under <parent id>` for each span whose parent nobody exported. */
export function orphansOf(spans: readonly ReceivedSpan[], elsewhere: readonly string[] = []): string[] {
  const ids = new Set([...spans.map(({ spanId }) => spanId), ...elsewhere, '']);
  return spans
    .filter(({ parentId }) => !ids.has(parentId))
    .map(({ service, name, parentId }) => `${service}: ${name} under ${parentId}`);
}
