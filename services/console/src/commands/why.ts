import { plainJson } from '@loom/shared/plain.ts';
import { findRequestId, readExchange } from '../adapters/find-exchange.ts';
import { Complaint } from '../complaint.ts';
import { withContext } from '../context.ts';
import { explainExchange } from '../core/why.ts';

/** `loom why`: what became of one request on its way, and for what reason. */
export function explain(words: string, { json }: { json?: true }): Promise<void> {
  return withContext('fail-fast', async ({ redis, prefix, screen, print }) => {
    const requestId = await findRequestId(redis, prefix, words);
    if (requestId === undefined)
      throw new Complaint(
        words === ''
          ? 'no request has come yet'
          : `no request that is still known has the id ${words}, or a session that begins so`,
      );
    const events = await readExchange(redis, prefix, requestId);
    if (json) print(plainJson(events));
    else for (const line of explainExchange(events, prefix, screen)) print(line);
  });
}
