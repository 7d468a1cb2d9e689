import { z } from 'zod';

/**
 * What a gateway says of its own spans, for whoever sends what descends from them. It is JSON in
 * `<prefix>:service:gateway:<id>` as long as the gateway is there (EX 10, renewed every 3 s), and in
 * `<prefix>:gateway-left:<id>` after it has left in good order. Where neither is, it was killed.
 */
export const GatewayRecord = z.looseObject({
  /** Absent where it exports none. Unix ms, by the gateway's own clock. */
  spans: z
    .looseObject({
      /** Those that ended before may be lost. */
      lostUntil: z.number(),
      /** Those that ended after that, and before this, are with the collector. */
      sentUntil: z.number(),
    })
    .optional(),
});
export type GatewayRecord = z.infer<typeof GatewayRecord>;

/** The names of a gateway's two keys, without the prefix. */
export function gatewayKeys(id: string): { present: string; left: string } {
  return { present: `service:gateway:${id}`, left: `gateway-left:${id}` };
}

/** How long it is known that a gateway has left in good order, seconds: longer than any turn waits. */
export const GATEWAY_LEFT_KEEP_S = 2 * 24 * 3_600;
