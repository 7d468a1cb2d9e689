/** The prompts of the profile `alpha` in these tests: short, and unlike any text of a client's. */
export const PROMPTS = {
  identity: 'I am Alpha, and I was there.',
  compact: 'I write down what I need of this day.',
  continuation: 'Good morning, Alpha. Tell Sam that you are back.',
};
