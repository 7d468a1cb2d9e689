import { keepAnnouncing } from '@loom/shared/announcing.ts';
import { GATEWAY_LEFT_KEEP_S, type GatewayRecord, gatewayKeys } from '@loom/shared/gateway-record.ts';
import { Liveness } from '@loom/shared/liveness.ts';
import type { Logger } from '@loom/shared/log.ts';
import type { Streams } from '@loom/shared/streams.ts';
import { flushTelemetry, isTelemetryOn, shutdownTelemetry } from '@loom/shared/telemetry.ts';

/** A collector that takes longer must not make the gateway seem dead; milliseconds. */
const FLUSH_MS = 2_000;

export interface PresenceOptions {
  streams: Streams;
  log: Logger;
  /** The gateway's id. */
  gateway: string;
  /** What `loom status` shows of it. */
  tally: { handled: number; failed: number };
  /** The rewriters that are skipped for now. */
  openBreakers: () => string[];
  /** How often it announces itself, milliseconds. Default 3,000. */
  everyMs?: number;
}

/**
 * Says that the gateway is there, and which of its spans have reached the collector (see `GatewayRecord`): the
 * trace-grouper makes up for those that are lost. No request ever waits for it.
 */
export class Presence {
  readonly #options: PresenceOptions;
  readonly #liveness: Liveness;
  readonly #stopping = new AbortController();
  readonly #spans = { lostUntil: 0, sentUntil: 0 };
  #flushing: Promise<void> | undefined;

  constructor(options: PresenceOptions) {
    this.#options = options;
    const { streams, log, gateway: replica, tally, openBreakers } = options;
    this.#liveness = new Liveness({
      name: 'gateway',
      replica,
      streams,
      log,
      says: () => ({ ...tally, openBreakers: openBreakers(), ...this.#record }),
    });
  }

  /** Announces at once, and from then on; returns at once, whether or not Redis is there. */
  start(): void {
    const { streams, log, everyMs } = this.#options;
    this.#liveness.announce().catch((error: unknown) => log.debug('not announced yet', { error }));
    void keepAnnouncing({ streams, log, everyMs, stopping: this.#stopping.signal }, async () => {
      await this.#flush();
      if (!this.#stopping.signal.aborted) await this.#liveness.announce();
    });
  }

  /**
   * Ends the telemetry of the process, and takes leave where all of it has arrived: from then on nobody makes up for the
   * gateway's spans. Resolves within 3 s and a bit.
   */
  async leave(): Promise<void> {
    const { streams, log, gateway } = this.#options;
    this.#stopping.abort();
    const keys = gatewayKeys(gateway);
    const goodbye = streams.redis.multi().del(streams.key(keys.present));
    if (await shutdownTelemetry()) {
      this.#spans.sentUntil = Date.now();
      goodbye.set(streams.key(keys.left), JSON.stringify(this.#record), 'EX', GATEWAY_LEFT_KEEP_S);
    }
    // Redis away: the announcement lapses, and the gateway seems to have been killed.
    await goodbye.exec().catch((error: unknown) => log.debug('left without a word', { error }));
  }

  get #record(): GatewayRecord {
    return isTelemetryOn() ? { spans: this.#spans } : {};
  }

  /** Returns when the collector has answered, or does not in time: then the next round sees what became of it. */
  async #flush(): Promise<void> {
    this.#flushing ??= this.#send().finally(() => {
      this.#flushing = undefined;
    });
    const { promise: timeout, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, FLUSH_MS);
    await Promise.race([this.#flushing, timeout]);
    clearTimeout(timer);
  }

  async #send(): Promise<void> {
    const begun = Date.now();
    if (await flushTelemetry()) this.#spans.sentUntil = begun;
    // Lost: some of those that had ended by now.
    else this.#spans.lostUntil = this.#spans.sentUntil = Date.now();
  }
}
