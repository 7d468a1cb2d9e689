import type { DataOf } from '@loom/shared/event.ts';
import { ATTRIBUTE } from './attribute.ts';
import { cutJson, MAX_ATTRIBUTE_BYTES, newest } from './limits.ts';
import { cutPart, inputMessages, messageList, outputMessages, partsOf, resultText } from './messages.ts';
import type { SpanData } from './span-data.ts';

type Captured = DataOf<'exchange.captured'>;

/** What was said in one call, as JSON in the form of the GenAI conventions; Phoenix makes its own form of it. */
export function contentAttributes(captured: Captured, stopReason: string | null): SpanData['attributes'] {
  const input = messageList(inputMessages(captured.input));
  const output = messageList(outputMessages(captured.output, stopReason));
  const system = systemInstructions(captured);
  return {
    [ATTRIBUTE.captureMode]: captured.capture,
    [ATTRIBUTE.inputCount]: captured.input.length + captured.inputOmitted,
    [ATTRIBUTE.inputOmitted]: captured.inputOmitted + input.omitted,
    ...parameterAttributes(captured.parameters),
    [ATTRIBUTE.captureTruncated]: captured.truncated || input.truncated || output.truncated || undefined,
    [ATTRIBUTE.systemInstructions]: system,
    [ATTRIBUTE.inputMessages]: input.json,
    [ATTRIBUTE.outputMessages]: output.json,
  };
}

/** The last thing that a person said in a request, or else that a tool gave back. */
export function lastInput(captured: Captured): string | undefined {
  const blocks = captured.input.filter(({ role }) => role === 'user').flatMap(({ content }) => content);
  const said = blocks.flatMap(({ type, text }) => (type === 'text' && typeof text === 'string' ? [text] : []));
  const typed = said.findLast((text) => !text.trimStart().startsWith('<system-reminder>'));
  if (typed !== undefined) return typed;
  const result = blocks.findLast(({ type }) => type === 'tool_result');
  return result && resultText(result['content']);
}

function systemInstructions({ system }: Captured): string | undefined {
  if (!system) return undefined;
  return JSON.stringify(newest(system.flatMap(partsOf), MAX_ATTRIBUTE_BYTES, cutPart));
}

const MAX_PARAMETERS_BYTES = 4_096;

function parameterAttributes(parameters: Record<string, unknown>): SpanData['attributes'] {
  const number = (name: string) => (typeof parameters[name] === 'number' ? parameters[name] : undefined);
  const stops = parameters['stop_sequences'];
  const effort = (parameters['output_config'] as { effort?: unknown } | undefined)?.effort;
  return {
    [ATTRIBUTE.requestMaxTokens]: number('max_tokens'),
    [ATTRIBUTE.requestTemperature]: number('temperature'),
    [ATTRIBUTE.requestTopP]: number('top_p'),
    [ATTRIBUTE.requestTopK]: number('top_k'),
    [ATTRIBUTE.requestStops]: Array.isArray(stops) ? stops.map(String) : undefined,
    [ATTRIBUTE.requestReasoning]: typeof effort === 'string' ? effort : undefined,
    [ATTRIBUTE.llmParameters]: JSON.stringify(cutJson(parameters, MAX_PARAMETERS_BYTES)),
  };
}
