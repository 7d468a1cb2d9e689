import type { Service } from './services.ts';

/** One process of a service. */
export interface Replica extends Service {
  /** The service's name; `name` tells its replicas apart. */
  service: string;
}

/** What was asked for cannot be run; the message says why. */
export class ScaleError extends Error {
  override name = 'ScaleError';
}

/** It listens on LOOM_PORT, and a second one would find that taken. */
const SINGLE = 'gateway';

/**
 * Says which processes to run: one of each service, or as many as `scale` says, then named `<service>-1`, `-2`, ….
 *
 * @param scale `<service>=<count>`, as for `docker compose up --scale`
 * @throws ScaleError
 *
 * @example
 * scaleOut(findServices('services'), ['transcript-watcher=3']).map(({ name }) => name);
 * // ['compact-rewriter', 'gateway', …, 'transcript-watcher-1', 'transcript-watcher-2', 'transcript-watcher-3']
 */
export function scaleOut(services: readonly Service[], scale: readonly string[]): Replica[] {
  const counts = new Map(scale.map((word) => parseScale(word, services)));
  return services.flatMap((service) => {
    const count = counts.get(service.name);
    if (count === undefined) return [{ ...service, service: service.name }];
    return Array.from({ length: count }, (_, at) => ({
      ...service,
      service: service.name,
      name: `${service.name}-${at + 1}`,
    }));
  });
}

function parseScale(word: string, services: readonly Service[]): [string, number] {
  const [, name = '', count] = /^([\w-]+)=(\d{1,2})$/.exec(word) ?? [];
  if (count === undefined) throw new ScaleError(`expected --scale <service>=<count>, got ${word}`);
  if (!services.some((service) => service.name === name)) throw new ScaleError(`there is no service ${name} to scale`);
  if (name === SINGLE && Number(count) !== 1) throw new ScaleError(`one ${SINGLE} runs here: it has one port`);
  return [name, Number(count)];
}
