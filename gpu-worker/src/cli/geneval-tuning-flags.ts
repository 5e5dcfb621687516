/** What `--tune` takes as given instead of trying it; no other mode of the command knows them. */
export const TUNING_FLAGS = ['judged-steps', 'clarity', 'potential', 'alignment', 'least-gain'] as const
