const { PATH, NODE_COMPILE_CACHE } = process.env;

/** What a process that a test starts gets of this one's environment; what Node compiled for one start serves the next. */
export const PASSED_ON = { PATH, ...(NODE_COMPILE_CACHE !== undefined && { NODE_COMPILE_CACHE }) };
