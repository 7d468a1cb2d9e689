import { compareIds } from '@loom/shared/entry-id.ts';
import { capOf, KEEP, type StreamName } from '@loom/shared/event.ts';
import { counted } from '@loom/shared/figures.ts';
import { plain, plainJson } from '@loom/shared/plain.ts';
import { isConfirmed } from '../adapters/confirm.ts';
import { Complaint } from '../complaint.ts';
import { type Context, withContext } from '../context.ts';
import { type DeadLetter, describeDeadLetter, findDeadLetter, formatDeadLetter } from '../core/dead-letter.ts';
import { type Entry, toObject } from '../core/entry.ts';

const STREAM = 'dead-letters';

/** Which dead letters: those named, or all. */
interface Choice {
  ids: string[];
  all?: true;
}

/** `loom dead-letters list`: newest first. */
export function listDeadLetters({ json }: { json?: true }): Promise<void> {
  return withContext('fail-fast', async (context) => {
    for (const entry of await readAll(context)) {
      const letter = findDeadLetter(entry);
      if (json) context.print(plainJson(toObject(entry)));
      else context.print(letter ? formatDeadLetter(letter, context.screen) : `${entry.id} is no dead letter of Loom's`);
    }
  });
}

/** `loom dead-letters show`: all fields of one. */
export function showDeadLetter(id: string, { json }: { json?: true }): Promise<void> {
  return withContext('fail-fast', async (context) => {
    const [entry] = await choose({ ids: [id] }, context);
    if (json) context.print(plainJson(toObject(entry as Entry)));
    else for (const line of describeDeadLetter(letterOf(entry as Entry))) context.print(line);
  });
}

/** `loom dead-letters replay`: puts each back at the end of its stream, in the order in which they came. */
export function replayDeadLetters(choice: Choice): Promise<void> {
  return withContext('fail-fast', async (context) => {
    const entries = (await choose(choice, context)).toSorted((left, right) => compareIds(left.id, right.id));
    for (const entry of entries) {
      try {
        context.print(`${entry.id} is now ${await replay(letterOf(entry), context)}`);
      } catch (error) {
        // One that has nowhere to go must not hold back the others.
        if (!(error instanceof Complaint)) throw error;
        context.tell(error.message);
        process.exitCode = 1;
      }
    }
  });
}

/** `loom dead-letters drop`: removes them for good. */
export function dropDeadLetters(choice: Choice & { yes?: true }): Promise<void> {
  return withContext('fail-fast', async (context) => {
    const ids = (await choose(choice, context)).map(({ id }) => id);
    if (ids.length > 0 && !choice.yes && !(await isDropWanted(counted(ids.length, 'dead letter')))) {
      context.tell('nothing was dropped');
      return;
    }
    const dropped = ids.length > 0 ? await context.redis.xdel(context.key(STREAM), ...ids) : 0;
    context.print(`dropped ${counted(dropped, 'dead letter')}`);
  });
}

/** The entry and its removal go together: a letter is never lost, and never in both places. */
async function replay(letter: DeadLetter, { redis, key, prefix }: Context): Promise<string> {
  const { id, origin, original } = letter;
  // Within a transaction a XADD that fails would not hold the XDEL back.
  if ((await redis.type(origin)) !== 'stream')
    throw new Complaint(`${id} comes from ${plain(origin)}, which is no stream any more; nobody would read it there`);
  const name = origin.slice(prefix.length + 1).split(':', 1)[0] as StreamName;
  const keep = capOf(name in KEEP ? name : STREAM);
  const replies = await redis
    .multi()
    .xadd(origin, 'MAXLEN', '~', keep, '*', ...original)
    .xdel(key(STREAM), id)
    .exec();
  const failure = replies?.find(([error]) => error)?.[0];
  if (failure) throw failure;
  return `${plain(origin)} ${replies?.[0]?.[1]}`;
}

async function choose({ ids, all }: Choice, context: Context): Promise<Entry[]> {
  if (all) return readAll(context);
  const { redis, key } = context;
  const found = await Promise.all(ids.map((id) => redis.xrange(key(STREAM), id, id)));
  return found.map(([entry], at) => {
    if (!entry) throw new Complaint(`there is no dead letter ${ids[at]}; loom dead-letters list shows what there is`);
    return { key: key(STREAM), id: entry[0], fields: entry[1] };
  });
}

async function readAll({ redis, key }: Context): Promise<Entry[]> {
  const entries = await redis.xrevrange(key(STREAM), '+', '-');
  return entries.map(([id, fields]) => ({ key: key(STREAM), id, fields }));
}

function letterOf(entry: Entry): DeadLetter {
  const letter = findDeadLetter(entry);
  if (!letter) throw new Complaint(`${entry.id} is no dead letter of Loom's: it does not say where it comes from`);
  return letter;
}

function isDropWanted(what: string): Promise<boolean> {
  return isConfirmed(`Drop ${what} for good?`, `expected --yes to drop ${what}, since nobody can be asked here`);
}
