/** A span as Phoenix has stored it; `null` ids and texts are absent ones. */
export interface ShownSpan {
  spanId: string;
  parentId: string | null;
  name: string;
  /** `unknown` without an OpenInference kind. */
  spanKind: string;
  input: { truncatedValue: string } | null;
  output: { truncatedValue: string } | null;
  /** As Phoenix made them of what it got. */
  attributes: Record<string, unknown>;
}

/** A session as Phoenix shows it, its traces from the oldest on. */
export interface ShownSession {
  sessionId: string;
  firstInput: { value: string } | null;
  lastOutput: { value: string } | null;
  tokenUsage: { prompt: number; completion: number };
  costSummary: { total: { cost: number | null } };
  traces: { traceId: string; rootSpan: { name: string } | null; spans: ShownSpan[] }[];
}

const QUERY = `query ($project: String!) {
  getProjectByName(name: $project) { sessions(first: 100) { edges { node {
    sessionId firstInput { value } lastOutput { value }
    tokenUsage { prompt completion } costSummary { total { cost } }
    traces(first: 100) { edges { node {
      traceId startTime rootSpan { name }
      spans(first: 1000) { edges { node {
        spanId parentId name spanKind input { truncatedValue } output { truncatedValue } attributes
      } } }
    } } }
  } } } }
}`;

interface Edges<Node> {
  edges: { node: Node }[];
}
interface AnsweredTrace {
  traceId: string;
  startTime: string;
  rootSpan: { name: string } | null;
  spans: Edges<Omit<ShownSpan, 'attributes'> & { attributes: string }>;
}
interface Answered {
  data: {
    getProjectByName: { sessions: Edges<Omit<ShownSession, 'traces'> & { traces: Edges<AnsweredTrace> }> } | null;
  } | null;
  errors?: { message: string }[];
}

/** Reads a session from Phoenix's GraphQL API; undefined while there is none. */
export async function findSession(url: string, project: string, sessionId: string): Promise<ShownSession | undefined> {
  const body = JSON.stringify({ query: QUERY, variables: { project } });
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url}/graphql`, { method: 'POST', headers, body });
  const { data, errors } = (await response.json()) as Answered;
  const found = data?.getProjectByName?.sessions.edges.find(({ node }) => node.sessionId === sessionId)?.node;
  // Until its first span has come there is no project: that is an error, too.
  if (!found) return errors && !/not found|unknown project/i.test(JSON.stringify(errors)) ? refuse(errors) : undefined;
  const traces = found.traces.edges.map(({ node: { spans, ...trace } }) => ({
    ...trace,
    spans: spans.edges.map(({ node }) => ({ ...node, attributes: JSON.parse(node.attributes) })),
  }));
  return { ...found, traces: traces.sort((a, b) => a.startTime.localeCompare(b.startTime)) };
}

function refuse(errors: { message: string }[]): never {
  throw new Error(`expected a session, got ${errors.map(({ message }) => message).join('; ')}`);
}
