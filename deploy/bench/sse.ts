/**
 * The upstream's events, of about 120 bytes as the API's are. Each tells when it was written, on the clock that all
 * processes of a machine share, so that whoever reads it knows how long it was on its way.
 */
export function sseEventOf(kind: 'start' | 'delta' | 'stop'): string {
  const at = `<${nowUs()}>`;
  if (kind === 'delta')
    return `event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"${at} warp weft"}}\n\n`;
  if (kind === 'start') {
    const usage = '{"input_tokens":10,"cache_read_input_tokens":1000,"output_tokens":1}';
    const message = `{"id":"msg_bench","type":"message","role":"assistant","model":"claude-opus-5-5","content":[],"usage":${usage}}`;
    const start = `event: message_start\ndata: {"type":"message_start","message":${message}}\n\n`;
    const block = '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}';
    return `${start}event: content_block_start\ndata: ${block}\n\nevent: ping\ndata: {"type":"ping"}\n\n`;
  }
  const stop = 'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n';
  const delta = '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":300}}';
  return `${stop}event: message_delta\ndata: ${delta}\n\nevent: message_stop\ndata: {"type":"message_stop","at":"${at}"}\n\n`;
}

/** Of each event in a piece of a stream, how long it was on its way; milliseconds. */
export function delaysMs(chunk: Buffer): number[] {
  const now = nowUs();
  return [...chunk.toString('latin1').matchAll(/<(\d+)>/g)].map(([, at]) => (now - Number(at)) / 1_000);
}

function nowUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}
