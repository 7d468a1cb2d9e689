import { globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** A folder with a `start` script in its package.json. */
export interface Service {
  /** The folder's name. */
  name: string;
  folder: string;
  /** The start script, split into words: `['node', '--import', …, 'src/main.ts']`. */
  command: string[];
}

/** The services' folder holds nothing that can be started; the message says why. */
export class ServiceFolderError extends Error {
  override name = 'ServiceFolderError';
}

/**
 * Finds the services to run: each folder with a `start` script, by name. A new service is one more folder.
 *
 * A script is a plain command line. It is started without a shell or npm in between, so that a signal reaches the
 * service itself; quotes, variables and `&&` are therefore refused.
 *
 * @throws ServiceFolderError when there is none, or one cannot be started that way
 *
 * @example
 * findServices('services')[0]; // { name: 'compact-rewriter', folder: 'services/compact-rewriter', command: ['node', …] }
 */
export function findServices(folder: string): Service[] {
  const services = globSync('*/package.json', { cwd: folder })
    .sort()
    .flatMap((path) => {
      const script = startScript(join(folder, path));
      if (script === undefined) return [];
      if (/["'`$&|;<>\\*]/.test(script)) {
        throw new ServiceFolderError(
          `expected a plain command line as start script of ${join(folder, path)}, got ${script}`,
        );
      }
      const home = join(folder, dirname(path));
      return [{ name: basename(home), folder: home, command: script.trim().split(/\s+/) }];
    });
  if (services.length === 0)
    throw new ServiceFolderError(`expected folders with a start script in ${folder}, found none`);
  return services;
}

function startScript(path: string): string | undefined {
  const { scripts } = JSON.parse(readFileSync(path, 'utf8')) as { scripts?: Record<string, string> };
  return scripts?.['start'];
}
