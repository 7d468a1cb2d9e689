import type { ContentBlock } from '@loom/shared/event.ts';
import { derivedSpanId } from '@loom/shared/turn-span.ts';
import { ATTRIBUTE } from './attribute.ts';
import { chatSpanIdOf } from './chat-span.ts';
import { cutJson, cutText, MAX_ATTRIBUTE_BYTES, MAX_TEXT_BYTES } from './limits.ts';
import { resultText } from './messages.ts';
import { finishSpan, named, plain, preview, type RenderOptions, showsContent } from './render.ts';
import type { SpanData } from './span-data.ts';
import type { Call, ToolUse, Turn } from './turn.ts';

/** The id of a tool use's span. */
export function toolSpanIdOf({ traceId, rootSpanId }: Turn, toolUseId: string): string {
  return derivedSpanId(traceId, rootSpanId, 'tool', toolUseId);
}

/**
 * The span of a tool that the client ran between two calls: nobody saw it run, so its times are those of the calls
 * around it. It links to the chat that asked for it and to the request that brought its result.
 */
export function toolSpan(turn: Turn, use: ToolUse, parentSpanId: string, options: RenderOptions): SpanData {
  const { traceId } = turn;
  const name = named(use.name);
  const callOf = (requestId?: string) => turn.calls.find((call) => call.requestId === requestId);
  const [asking, answering] = [callOf(use.askedBy), callOf(use.answeredBy)];
  return finishSpan({
    traceId,
    spanId: toolSpanIdOf(turn, use.id),
    parentSpanId,
    name: `execute_tool ${name}`,
    startedAt: use.startedAt,
    endedAt: use.endedAt,
    attributes: {
      [ATTRIBUTE.spanKind]: 'TOOL',
      [ATTRIBUTE.sessionId]: turn.session,
      [ATTRIBUTE.turn]: turn.key,
      [ATTRIBUTE.operation]: 'execute_tool',
      [ATTRIBUTE.toolName]: name,
      [ATTRIBUTE.toolType]: 'function',
      [ATTRIBUTE.toolCallId]: named(use.id),
      [ATTRIBUTE.oiToolName]: name,
      [ATTRIBUTE.oiToolId]: named(use.id),
      [ATTRIBUTE.agent]: use.agentId && named(use.agentId),
      [ATTRIBUTE.timing]: 'inferred',
      [ATTRIBUTE.errorType]: use.isError ? 'tool_error' : undefined,
      ...(showsContent(options) && contentAttributes(use, asking, answering, options)),
    },
    links: [
      ...(asking?.forwardedAt === undefined ? [] : [{ traceId, spanId: chatSpanIdOf(traceId, asking.requestId) }]),
      ...(answering ? [{ traceId, spanId: answering.spanId }] : []),
    ],
    ...(use.isError ? { status: 'error', statusMessage: 'the tool said that it failed' } : { status: 'unset' }),
  });
}

function contentAttributes(
  use: ToolUse,
  asking: Call | undefined,
  answering: Call | undefined,
  options: RenderOptions,
): SpanData['attributes'] {
  const asked = asking?.captured?.output.find((block) => block.type === 'tool_use' && block['id'] === use.id);
  const brought = answering?.captured?.input.flatMap(({ content }) => content).find(isResultOf(use));
  const json = asked && JSON.stringify(cutJson(asked['input'] ?? {}, MAX_TEXT_BYTES));
  const result = brought && cutText(resultText(brought['content']), MAX_ATTRIBUTE_BYTES);
  return {
    [ATTRIBUTE.toolArguments]: json,
    [ATTRIBUTE.oiToolParameters]: json,
    [ATTRIBUTE.toolResult]: result,
    ...(json && { [ATTRIBUTE.input]: json, [ATTRIBUTE.inputType]: 'application/json' }),
    ...plain('output', preview(result, options)),
  };
}

function isResultOf({ id }: ToolUse) {
  return (block: ContentBlock) => block.type === 'tool_result' && block['tool_use_id'] === id;
}
