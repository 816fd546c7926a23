/** The labels of a sample, in profiles and in label sets. */
export type Labels = Readonly<Record<string, string>>;
