import { plain, plainJson } from '@loom/shared/plain.ts';
import { TurnSummary } from '@loom/shared/turn-summary.ts';
import { Complaint } from '../complaint.ts';
import { type Context, withContext } from '../context.ts';
import { parsedOr } from '../core/entry.ts';
import { formatTrace } from '../core/trace-page.ts';

/** How many sessions are named where a prefix fits several. */
const MAX_CANDIDATES = 10;

/** `loom trace`: the spans of a session's last turn; without a prefix, of the newest turn of all. */
export function showTrace(prefix: string, { json }: { json?: true }): Promise<void> {
  return withContext('fail-fast', async (context) => {
    const { redis, screen, key, print } = context;
    const session = await chooseSession(prefix, context);
    const stored = await redis.get(key(`last-turn:${session}`));
    if (stored === null) throw new Complaint(`the last turn of session ${session} is no longer kept`);
    const summary = TurnSummary.safeParse(parsedOr(stored));
    if (!summary.success)
      throw new Complaint(`${key(`last-turn:${session}`)} is no turn summary: ${plain(summary.error.message)}`);
    if (json) print(plainJson(summary.data));
    else for (const line of formatTrace(summary.data, screen)) print(line);
  });
}

async function chooseSession(prefix: string, { redis, key }: Context): Promise<string> {
  const sessions = (await redis.zrange(key('last-turns'), '+inf', '-inf', 'BYSCORE', 'REV')) as string[];
  const candidates = sessions.filter((session) => session.startsWith(prefix));
  const [newest] = candidates;
  if (newest === undefined)
    throw new Complaint(
      prefix === ''
        ? 'no turn has ended yet; the trace-grouper keeps the last one of each session for 7 days'
        : `no session with a turn in the last 7 days begins with ${prefix}`,
    );
  if (prefix === '' || candidates.length === 1 || candidates.includes(prefix))
    return candidates.includes(prefix) ? prefix : newest;
  const named = candidates.slice(0, MAX_CANDIDATES).join(', ');
  const rest = candidates.length > MAX_CANDIDATES ? ', …' : '';
  throw new Complaint(`${candidates.length} sessions begin with ${prefix}, newest first: ${named}${rest}`);
}
