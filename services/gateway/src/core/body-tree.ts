/** A byte range, end exclusive. */
export interface Span {
  start: number;
  end: number;
}

/** An element of an array that may be removed, or that was put in (then `bytes` is all of it and the span is empty). */
export interface Element extends Span {
  removed: boolean;
  bytes: Uint8Array | undefined;
}

/** A content block or system block; string content is held as one text block whose span is the string itself. */
export interface Block extends Element {
  type: string;
  /** The string token of `text`, quotes included. */
  text: Span | undefined;
  /** In a tool result: the string token of `tool_use_id`, and the value of `is_error`. */
  toolUseId: Span | undefined;
  isError: Span | undefined;
  /** The value of the client's `cache_control`. */
  cacheControl: Span | undefined;
  /** Byte ranges inside the text token that are cut out. */
  cuts: Span[];
  /** The string token that takes the text's place. */
  newText: Uint8Array | undefined;
  /** The `cache_control` value of a removed neighbour. */
  movedCacheControl: Uint8Array | undefined;
  /** Who wrote this block or its text: a rewriter's name, or the ledger. */
  writtenBy: string | undefined;
  /** The client's text, once somebody has asked for it; undefined inside where it cannot be decoded. */
  decoded: { text: string | undefined } | undefined;
}

/** `system`, or the content of a message. */
export interface BlockList extends Span {
  isString: boolean;
  blocks: Block[];
}

export interface Message extends Element {
  role: string;
  /** Undefined where the content is neither a string nor a list: such a message is passed over. */
  content: BlockList | undefined;
}

/** What the scanner found in a request body, and what is to be changed in it. Everything unnamed stays as it is. */
export interface BodyTree {
  bytes: Uint8Array;
  messagesSpan: Span;
  messages: Message[];
  system: BlockList | undefined;
  /** Number of tools; undefined when the key is absent. */
  tools: number | undefined;
  /** Values of small top-level members, by key: model, stream, max_tokens, metadata, output_config, context_management. */
  members: Map<string, Span>;
}

export function newBlock(start: number, end: number, type: string): Block {
  return {
    start,
    end,
    type,
    text: undefined,
    toolUseId: undefined,
    isError: undefined,
    cacheControl: undefined,
    removed: false,
    bytes: undefined,
    cuts: [],
    newText: undefined,
    movedCacheControl: undefined,
    writtenBy: undefined,
    decoded: undefined,
  };
}

/** The blocks that go upstream, in order. */
export function keptBlocks(list: BlockList): Block[] {
  return list.blocks.filter((block) => !block.removed);
}

/** The messages that go upstream, in order. */
export function keptMessages(tree: BodyTree): Message[] {
  return tree.messages.filter((message) => !message.removed);
}
