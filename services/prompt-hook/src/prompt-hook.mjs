#!/usr/bin/env node
/**
 * Loom's UserPromptSubmit hook. Names the trace of what the user has just typed, collects what the gateway wants to know
 * about it, and prints that as one block for the client to put into its request; the gateway cuts it out again.
 *
 * One file of plain JavaScript without dependencies, because it is copied to the client's machine, where there is a
 * `node` (20 or later) and nothing else. It stands between the user and the answer: whatever goes wrong, it exits 0
 * within its deadline, with nothing on stderr and nothing on stdout that the client could trip over.
 */
import { readFileSync, realpathSync, statfsSync, statSync, writeSync } from 'node:fs';
import { freemem, hostname, totalmem, uptime } from 'node:os';
import { fileURLToPath } from 'node:url';

/** @import { MetadataFields } from '@loom/shared/metadata.ts' */

/** @typedef {Record<string, string | undefined>} Environment */
/** @typedef {{ traceId: string, spanId: string, parentSpanId?: string, flags: string, startedAt: number }} Root */
/** @typedef {Pick<MetadataFields, 'session_id' | 'prompt_id' | 'prompt' | 'transcript_path' | 'cwd'>} Input */
/** @typedef {{ url: string, headers: Record<string, string>, body: object }} Export */

const CANARY = 'LOOM_METADATA_UlVCQkVSRFVDSw';
const MAX_BLOCK_LENGTH = 8_000;
/** Of what comes from outside and cannot be shortened; a longer one is none. */
const MAX_NAME_LENGTH = 200;
const MAX_PATH_LENGTH = 4_096;
const MAX_INPUT_BYTES = 16 * 2 ** 20;
/** Of the prompt on a span. */
const MAX_INPUT_VALUE_BYTES = 2_048;
/** For a client that does not close stdin: what has come by then counts. */
const INPUT_MS = 250;
/** For a client that does not read stdout. Together with the input 300 ms, and next to nothing with a client that does both. */
const OUTPUT_MS = 50;
const EXPORT_MS = 5_000;
const NOTHING = '{}';
/** `SPAN_KIND_INTERNAL` of OTLP. */
const INTERNAL = 1;

const THIS_FILE = fileURLToPath(import.meta.url);

/** @param {Environment} environment */
async function runHook(environment) {
  const leave = () => process.exit(0);
  process.on('uncaughtException', leave);
  const answer = (/** @type {string} */ text) => {
    // Counted from here, so that a busy machine's hook has always tried to print before it gives up.
    setTimeout(leave, OUTPUT_MS);
    return print(text);
  };

  const root = startRoot(environment['TRACEPARENT']);
  const input = parseInput(await readInput(INPUT_MS));
  const secret = attempt('the secret', () => readSecret(environment));
  // A gateway that wants signatures would not cut an unsigned block out again: the model would get to read it.
  if (!input || secret === undefined) return answer(NOTHING);

  const fields = collect(input, root, environment);
  const sender = await startSender(environment);
  await answer(toHookOutput(await formatMetadata({ ...fields, exports_spans: sender && true }, secret)));
  await sender?.send(toOtlp(fields, root, environment));
}

/** @param {string} additionalContext */
function toHookOutput(additionalContext) {
  return JSON.stringify({ hookSpecificOutput: { hookEventName: 'UserPromptSubmit', additionalContext } });
}

/**
 * The span of the turn: in the client's own trace where it runs one (W3C Trace Context), else in a new one. A malformed
 * value starts a new one.
 *
 * @param {string | undefined} traceparent
 * @returns {Root}
 */
export function startRoot(traceparent) {
  const startedAt = Date.now();
  const spanId = randomId(8);
  const parent = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(
    traceparent ?? '',
  );
  const [, version, traceId, parentSpanId, flags, rest] = parent ?? [];
  if (!traceId || !parentSpanId || !flags || (version === '00' && rest !== undefined))
    return { traceId: randomId(16), spanId, flags: '01', startedAt };
  return { traceId, spanId, parentSpanId, flags, startedAt };
}

/**
 * As OpenTelemetry's own generator has it: ids have to differ, and nobody is kept from guessing them. To load
 * `node:crypto` takes a third of this file's time.
 *
 * @param {number} bytes
 */
function randomId(bytes) {
  let id = '';
  while (id.length < bytes * 2)
    id += Math.floor(Math.random() * 256)
      .toString(16)
      .padStart(2, '0');
  // All zeros are no id.
  return /[^0]/.test(id) ? id : `${id.slice(1)}1`;
}

/**
 * What stdin brings until its end, or until the time is over. More than 16 MB are read and forgotten, so that the client
 * can write all of it.
 *
 * @param {number} withinMs
 * @returns {Promise<string>}
 */
function readInput(withinMs) {
  return new Promise((resolve) => {
    /** @type {Buffer[]} */
    const chunks = [];
    let bytes = 0;
    const finish = () => resolve(Buffer.concat(chunks).toString());
    // Where the machine was too busy to let this process read, what is there by now is read before it is finished.
    setTimeout(() => setImmediate(finish), withinMs);
    process.stdin.on('end', finish).on('error', finish);
    process.stdin.on('data', (chunk) => {
      bytes += chunk.length;
      if (bytes <= MAX_INPUT_BYTES) chunks.push(Buffer.from(chunk));
    });
  });
}

/**
 * The hook's input; undefined when it is that of another event. Where it cannot be read, nothing is known but that
 * somebody typed something, which is worth a trace.
 *
 * @param {string} text
 * @returns {Input | undefined}
 */
function parseInput(text) {
  // The parser's own message would quote the prompt.
  const value = attempt('stdin', () => JSON.parse(text), 'expected the JSON of a hook');
  if (typeof value !== 'object' || value === null) return {};
  if (typeof value.hook_event_name === 'string' && value.hook_event_name !== 'UserPromptSubmit') return undefined;
  return {
    session_id: textOf(value.session_id),
    prompt_id: textOf(value.prompt_id),
    prompt: textOf(value.prompt, MAX_INPUT_BYTES),
    transcript_path: textOf(value.transcript_path, MAX_PATH_LENGTH),
    cwd: textOf(value.cwd, MAX_PATH_LENGTH),
  };
}

/**
 * @param {unknown} value
 * @param {number} [maxLength]
 */
function textOf(value, maxLength = MAX_NAME_LENGTH) {
  return typeof value === 'string' && value !== '' && value.length <= maxLength ? value : undefined;
}

/**
 * @param {Input} input
 * @param {Root} root
 * @param {Environment} environment
 * @returns {MetadataFields}
 */
function collect(input, root, environment) {
  const { traceId, spanId, parentSpanId, flags, startedAt } = root;
  const traceparent = `00-${traceId}-${spanId}-${flags}`;
  const begun = performance.now();
  const machine = readMachine();
  const { session_id, prompt_id, prompt, transcript_path, cwd } = input;
  return {
    v: 1,
    session_id,
    trace_id: traceId,
    traceparent,
    parent_span_id: parentSpanId,
    prompt_id,
    prompt,
    transcript_path,
    source: textOf(environment['LOOM_PROFILE']),
    machine,
    sent_at: localTime(startedAt),
    cwd,
    collected_ms: Math.round((performance.now() - begun) * 10) / 10,
  };
}

/** Nothing here asks the network: no DNS, and the root's file system, since the working folder's may be mounted from afar. */
function readMachine() {
  return {
    fqdn: attempt('the name', readName),
    ram: attempt('the memory', () => `${gigabytes(freemem())} free of ${gigabytes(totalmem())}`),
    uptime: attempt('the uptime', () => duration(uptime())),
    disk: attempt('the disk', () => {
      const { bavail, blocks, bsize } = statfsSync('/');
      return `${gigabytes(bavail * bsize)} free of ${gigabytes(blocks * bsize)}`;
    }),
  };
}

function readName() {
  const name = hostname();
  if (name.includes('.')) return name;
  const resolver = attempt('the resolver', () => readFileSync('/etc/resolv.conf', 'utf8')) ?? '';
  const domain = /^(?:search|domain)[ \t]+([\w-][\w.-]*)/m.exec(resolver)?.[1];
  return domain ? `${name}.${domain}` : name;
}

/** @param {number} bytes */
function gigabytes(bytes) {
  return `${(bytes / 2 ** 30).toFixed(1)} GB`;
}

/** @param {number} seconds */
function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  const [days, hours] = [Math.floor(minutes / 1_440), Math.floor(minutes / 60) % 24];
  return days > 0 ? `${days} d ${hours} h` : `${hours} h ${minutes % 60} min`;
}

/** @param {number} time Unix milliseconds; ISO 8601 with the machine's own offset comes out */
function localTime(time) {
  const offset = -new Date(time).getTimezoneOffset();
  const two = (/** @type {number} */ value) => String(Math.trunc(Math.abs(value))).padStart(2, '0');
  const local = new Date(time + offset * 60_000).toISOString().slice(0, -1);
  return `${local}${offset < 0 ? '-' : '+'}${two(offset / 60)}:${two(offset % 60)}`;
}

/**
 * The secret that blocks are signed with; empty when none is set. Throws when one is set that cannot be read.
 *
 * @param {Environment} environment
 */
function readSecret(environment) {
  if (environment['LOOM_HOOK_SECRET']) return environment['LOOM_HOOK_SECRET'];
  const file = environment['LOOM_HOOK_SECRET_FILE'];
  if (!file) return '';
  // A pipe would be waited for.
  const secret = statSync(file).isFile() ? readFileSync(file, 'utf8').trim() : '';
  if (!secret) throw new Error('expected a secret in the file that LOOM_HOOK_SECRET_FILE names');
  return secret;
}

/**
 * Writes the block, the same bytes as `formatMetadata` of `shared/src/metadata.ts`, where its rules are explained.
 *
 * @param {MetadataFields} fields
 * @param {string} [secret]
 *
 * @example
 * await formatMetadata({ v: 1, session_id: 'f00' }, 'a secret'); // '{"canary":"LOOM_…","v":1,"session_id":"f00","sig":"…"}'
 */
export async function formatMetadata(fields, secret) {
  const room = MAX_BLOCK_LENGTH - (secret ? 80 : 0);
  let kept = fields;
  if (fields.prompt && toLine(fields).length > room) kept = { ...fields, prompt: shorten(fields.prompt, fields, room) };
  for (const name of ['machine', 'cwd', 'transcript_path'])
    if (toLine(kept).length > room) kept = { ...kept, [name]: undefined };
  const line = toLine(kept);
  if (!secret) return line;
  const { createHmac } = await import('node:crypto');
  return `${line.slice(0, -1)},"sig":"${createHmac('sha256', secret).update(line).digest('hex')}"}`;
}

/**
 * @param {string} prompt
 * @param {MetadataFields} fields
 * @param {number} room
 */
function shorten(prompt, fields, room) {
  const beginning = (/** @type {number} */ length) => prompt.slice(0, length).toWellFormed();
  let length = 0;
  let tooLong = Math.min(prompt.length, room) + 1;
  while (tooLong - length > 1) {
    const middle = Math.floor((length + tooLong) / 2);
    if (toLine({ ...fields, prompt: beginning(middle) }).length <= room) length = middle;
    else tooLong = middle;
  }
  return beginning(length);
}

/** @param {MetadataFields} fields */
function toLine(fields) {
  return JSON.stringify({ canary: CANARY, ...fields }).replaceAll('<', '\\u003c');
}

/**
 * Starts a process of its own that sends the spans, so that nobody waits for a collector; undefined when none is
 * configured. It gets everything by its stdin: its command line is there for all to read.
 *
 * @param {Environment} environment
 */
async function startSender(environment) {
  const endpoint = environment['LOOM_HOOK_OTLP_ENDPOINT'] || environment['OTEL_EXPORTER_OTLP_ENDPOINT'];
  if (!endpoint) return undefined;
  if (!/^https?:\/\/[^/]/.test(endpoint)) return note('the endpoint: expected an http or https URL');
  const { spawn } = await import('node:child_process');
  const child = attempt('the sender', () =>
    // Without stdout and stderr of ours, which the client reads to their end.
    spawn(process.execPath, [THIS_FILE, '--export'], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] }),
  );
  child?.on('error', (error) => note(`the sender: ${error.message}`));
  if (!child?.pid) return undefined;
  child.unref();
  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`;
  const headers = headersOf(environment['LOOM_HOOK_OTLP_HEADERS'] || environment['OTEL_EXPORTER_OTLP_HEADERS'] || '');
  return {
    /**
     * @param {object} body
     * @returns {Promise<void>}
     */
    send: (body) =>
      new Promise((resolve) => {
        const done = () => resolve();
        child.stdin.on('error', done).end(JSON.stringify({ url, headers, body }), done);
      }),
  };
}

/**
 * @param {string} text `name=value,…`, values percent-encoded, as in OTEL_EXPORTER_OTLP_HEADERS
 * @returns {Record<string, string>}
 */
function headersOf(text) {
  const pairs = text.split(',').flatMap((pair) => {
    const [, name, value = ''] = /^\s*([^=\s]+)\s*=(.*)$/.exec(pair) ?? [];
    return name ? [[name, attempt('a header', () => decodeURIComponent(value.trim())) ?? value.trim()]] : [];
  });
  return Object.fromEntries(pairs);
}

/** The sender's whole life. Nobody listens to it any more: whatever fails, it goes quietly. */
async function sendSpans() {
  const leave = () => process.exit(0);
  setTimeout(leave, EXPORT_MS);
  process.on('uncaughtException', leave);
  /** @type {Export} */
  const { url, headers, body } = JSON.parse(await readInput(EXPORT_MS));
  await fetch(url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    // Wherever it leads, the authorization was not meant for it.
    redirect: 'manual',
  });
  leave();
}

/**
 * The root and its child as OTLP/JSON (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
 *
 * @param {MetadataFields} fields
 * @param {Root} root
 * @param {Environment} environment
 */
function toOtlp(fields, root, environment) {
  const { session_id, prompt = '', collected_ms = 0 } = fields;
  const collected = root.startedAt + collected_ms;
  const common = {
    'openinference.span.kind': 'CHAIN',
    'session.id': session_id,
    'loom.turn.id': `${root.traceId}-${root.spanId}`,
  };
  const isShown = !['none', 'metadata'].includes(environment['LOOM_CAPTURE'] ?? '');
  const flags = Number.parseInt(root.flags, 16);
  const startTimeUnixNano = nanoseconds(root.startedAt);
  const spans = [
    {
      traceId: root.traceId,
      spanId: root.spanId,
      parentSpanId: root.parentSpanId,
      name: session_id ? `user-turn:${session_id}` : 'user-turn',
      kind: INTERNAL,
      flags,
      startTimeUnixNano,
      endTimeUnixNano: nanoseconds(Math.max(Date.now(), collected)),
      attributes: attributesOf({
        ...common,
        'input.value': isShown ? beginningOf(prompt) : undefined,
        'loom.profile': fields.source,
        'loom.prompt.id': fields.prompt_id,
        'loom.cwd': fields.cwd,
        'loom.transcript.path': fields.transcript_path,
      }),
    },
    {
      traceId: root.traceId,
      spanId: randomId(8),
      parentSpanId: root.spanId,
      name: 'collect-metadata',
      kind: INTERNAL,
      flags,
      startTimeUnixNano,
      endTimeUnixNano: nanoseconds(collected),
      attributes: attributesOf(common),
    },
  ];
  const resource = attributesOf({
    'service.name': 'prompt-hook',
    'host.name': hostname(),
    'openinference.project.name': environment['LOOM_PROJECT'] || 'loom',
  });
  return {
    resourceSpans: [{ resource: { attributes: resource }, scopeSpans: [{ scope: { name: 'loom' }, spans }] }],
  };
}

/** @param {Record<string, string | undefined>} attributes */
function attributesOf(attributes) {
  return Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, stringValue]) => ({ key, value: { stringValue } }));
}

/** @param {number} time Unix milliseconds; as OTLP/JSON writes 64 bits, a string */
function nanoseconds(time) {
  return String(BigInt(Math.round(time * 1_000)) * 1_000n);
}

/** @param {string} prompt */
function beginningOf(prompt) {
  const bytes = Buffer.from(prompt.slice(0, MAX_INPUT_VALUE_BYTES));
  if (bytes.length <= MAX_INPUT_VALUE_BYTES) return bytes.toString();
  // A character that the cut goes through has become a replacement character.
  return bytes
    .subarray(0, MAX_INPUT_VALUE_BYTES)
    .toString()
    .replace(/\uFFFD$/, '');
}

/**
 * The value, or undefined when it cannot be had: a block without it is better than none, and than a prompt that waits.
 *
 * @template T
 * @param {string} what
 * @param {() => T} read
 * @param {string} [because] instead of the error's own message
 * @returns {T | undefined}
 */
function attempt(what, read, because) {
  try {
    return read();
  } catch (error) {
    return note(`${what}: ${because ?? /** @type {Error} */ (error).message}`);
  }
}

/**
 * @param {string} text
 * @returns {undefined}
 */
function note(text) {
  if (!process.env['LOOM_HOOK_DEBUG']) return;
  try {
    writeSync(2, `loom prompt-hook: ${text}\n`);
  } catch {
    // Nobody reads stderr: there is nobody to tell.
  }
}

/**
 * @param {string} text
 * @returns {Promise<void>}
 */
function print(text) {
  return new Promise((resolve) => {
    process.stdout.write(text, () => resolve());
  });
}

const HELP = `Loom's UserPromptSubmit hook for Claude Code: tells Loom's gateway which turn a request belongs to.

  node prompt-hook.mjs           reads the hook's JSON on stdin, prints the hook's answer
  node prompt-hook.mjs --check   shows the block that a sample prompt would get
  node prompt-hook.mjs --help    this

By hand it goes into ~/.claude/settings.json:

${JSON.stringify(
  {
    env: {
      ANTHROPIC_BASE_URL: 'http://127.0.0.1:8080',
      CLAUDE_CODE_GATEWAY_HINT_HEADERS: '1',
      ENABLE_TOOL_SEARCH: 'true',
      LOOM_PROFILE: 'alpha',
    },
    hooks: { UserPromptSubmit: [{ hooks: [{ type: 'command', command: `node "${THIS_FILE}"`, timeout: 5 }] }] },
  },
  null,
  2,
)}

  LOOM_PROFILE              the session's profile; unset: passthrough
  LOOM_HOOK_SECRET          signs the block; the gateway needs the same one
  LOOM_HOOK_SECRET_FILE     a file that holds it instead
  LOOM_HOOK_OTLP_ENDPOINT   where the hook sends its own spans (OTLP/HTTP); unset: Loom makes them
  LOOM_HOOK_OTLP_HEADERS    name=value,… for it, such as authorization
  LOOM_PROJECT              the project that they belong to (loom)
  LOOM_CAPTURE              none or metadata: no prompt on those spans
  LOOM_HOOK_DEBUG           says on stderr what went wrong
`;

/** @param {Environment} environment */
async function check(environment) {
  try {
    const sample = { session_id: 'a-sample-session', prompt: 'Good evening.', cwd: process.cwd() };
    const fields = collect(sample, startRoot(environment['TRACEPARENT']), environment);
    await print(`${JSON.stringify(JSON.parse(await formatMetadata(fields, readSecret(environment))), null, 2)}\n`);
  } catch (error) {
    // Whoever asks wants to be told; the hook itself would print nothing.
    await print(`no block: ${/** @type {Error} */ (error).message}\n`);
    process.exitCode = 1;
  }
}

// Not `import.meta.main`, which node 20 lacks; a hook may well be called by a link to it.
const started = process.argv[1];
if (started && attempt('this file', () => realpathSync(started)) === THIS_FILE) {
  const mode = process.argv[2];
  if (mode === '--export') await sendSpans();
  else if (mode === '--help') await print(HELP);
  else if (mode === '--check') await check(process.env);
  else await runHook(process.env).finally(() => process.exit(0));
}
