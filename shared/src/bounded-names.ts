const MAX_NAME_CHARACTERS = 80;

/**
 * Lets so many different names through, and calls all others `other`: what a client makes up must not become ever more
 * time series.
 *
 * @example
 * const bounded = boundedNames(1);
 * [bounded('a'), bounded('b'), bounded('a')]; // ['a', 'other', 'a']
 */
export function boundedNames(most: number): (name: string) => string {
  const known = new Set<string>();
  return (name) => {
    const short = name.slice(0, MAX_NAME_CHARACTERS).toWellFormed();
    if (known.size < most) known.add(short);
    return known.has(short) ? short : 'other';
  };
}
