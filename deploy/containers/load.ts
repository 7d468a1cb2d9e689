/**
 * Asks for as long as `act` takes, `callers` requests at a time, each in a session of its own.
 *
 * @param call given the session's name; one that rejects ends the load, and is what this rejects with
 */
export async function underLoad(
  sessions: string,
  callers: number,
  call: (session: string) => Promise<unknown>,
  act: () => Promise<void>,
): Promise<void> {
  let isOver = false;
  const load = Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let serial = 0; !isOver; serial++) await call(`${sessions}-${caller}-${serial}`);
    }),
  );
  try {
    await Promise.race([load, act()]);
  } finally {
    isOver = true;
    await load;
  }
}
