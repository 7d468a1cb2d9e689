import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What befalls the bytes, in both directions. */
export interface Fault {
  /** Each piece comes so much later, milliseconds. */
  latencyMs?: number;
  /** Pieces of so many bytes at most. */
  sliceBytes?: number;
  bytesPerSecond?: number;
  /** Nothing comes through, and everything afterwards. */
  isFrozen?: boolean;
  /** Nothing comes through, ever: the other end is gone, and nobody said so. Such connections end with the fault. */
  isHalfOpen?: boolean;
}

/** A connection from a client through to the target. */
interface Passage {
  ends: [Socket, Socket];
  isLost: boolean;
}

/** A TCP proxy on loopback that does to connections what networks do. */
export class TcpProxy {
  readonly #server = createServer({ allowHalfOpen: true }, (client) => this.#pass(client));
  readonly #passages = new Set<Passage>();
  #target: number;
  #fault: Fault = {};
  #changed = Promise.withResolvers<void>();

  private constructor(target: number) {
    this.#target = target;
  }

  /** @param target a port on loopback */
  static async open(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** How many connections are half-open. */
  get swallowing(): number {
    return [...this.#passages].filter(({ isLost }) => isLost).length;
  }

  /** From now on this happens to all connections, and nothing that was set before. */
  set(fault: Fault): void {
    this.#fault = fault;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    if (!fault.isHalfOpen) for (const passage of this.#passages) if (passage.isLost) this.#reset(passage);
  }

  /** RST to both ends of every connection. */
  reset(): void {
    for (const passage of this.#passages) this.#reset(passage);
  }

  /** Another server takes over: connections end, new ones go there. */
  fail(over: number): void {
    this.#target = over;
    this.reset();
  }

  async close(): Promise<void> {
    this.set({});
    this.reset();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #reset(passage: Passage): void {
    this.#passages.delete(passage);
    for (const end of passage.ends) end.resetAndDestroy();
  }

  #pass(client: Socket): void {
    const target = connect({ port: this.#target, host: '127.0.0.1', allowHalfOpen: true });
    const passage: Passage = { ends: [client, target], isLost: false };
    this.#passages.add(passage);
    for (const end of passage.ends) {
      end.setNoDelay();
      // What breaks on one side breaks on the other.
      end.on('error', () => this.#reset(passage));
    }
    const pumps = [this.#pump(client, target, passage), this.#pump(target, client, passage)];
    void Promise.allSettled(pumps).then(() => this.#passages.delete(passage));
  }

  async #pump(from: Socket, to: Socket, passage: Passage): Promise<void> {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; ) {
        while (this.#fault.isFrozen || this.#fault.isHalfOpen || passage.isLost) {
          passage.isLost ||= this.#fault.isHalfOpen ?? false;
          if (to.destroyed) return;
          await this.#changed.promise;
        }
        const { latencyMs, sliceBytes = chunk.length, bytesPerSecond } = this.#fault;
        const piece = chunk.subarray(at, at + sliceBytes);
        at += piece.length;
        if (latencyMs) await delay(latencyMs);
        if (bytesPerSecond) await delay((piece.length / bytesPerSecond) * 1_000);
        if (to.destroyed) return;
        if (!to.write(piece)) await Promise.race([once(to, 'drain'), once(to, 'close')]);
      }
    }
    to.end();
  }
}
