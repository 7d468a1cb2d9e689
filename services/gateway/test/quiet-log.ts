import { createLog } from '@loom/shared/log.ts';

/** A log that writes nothing: what goes wrong is what the test is about. */
export const log = createLog({ service: 'gateway', level: 'error' });
log.silent = true;
