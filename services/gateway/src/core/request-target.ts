const ABSOLUTE_FORM = /^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i;

/**
 * The path and query of a request's target, byte for byte. A client that takes Loom for a proxy sends the absolute form
 * (RFC 9112, section 3.2.2): the host it names has no say in where the request goes.
 *
 * @example
 * originForm('http://elsewhere/v1/messages?beta=true'); // '/v1/messages?beta=true'
 * originForm('//elsewhere/v1'); // '//elsewhere/v1': that is a path
 */
export function originForm(target: string): string {
  const path = target.replace(ABSOLUTE_FORM, '');
  return path === target || path.startsWith('/') ? path : `/${path}`;
}
