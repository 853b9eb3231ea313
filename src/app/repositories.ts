import { findRepository, openRepository } from '../catalog/repository.ts';
import type { Repository } from '../catalog/repository.ts';
import { Failure, asFailure } from '../model/failure.ts';
import type { Store } from '../storage/store.ts';
import type { Settings } from './settings.ts';

/**
 * Opens the repositories that are meant, for one job that only reads: the one that is named, else all that are
 * configured. One that does not answer fails the job: it may hold later changes, and what is told without it would not
 * be true. `absent`: locations where there is none, not yet, or its disk is not there. Fails with
 * `repository.not_found` when there is none at all.
 */
export async function withRepositories<T>(
  settings: Settings,
  signal: AbortSignal,
  act: (repositories: readonly Repository[], absent: readonly string[]) => Promise<T>,
): Promise<T> {
  const signing = { signer: undefined, trust: settings.trust(), signal };
  await using opened = new AsyncDisposableStack();
  const stores = new Map<string, Store>();
  const names = settings.repositoryNames();
  if (names.length === 0) await settings.store();
  for (const name of names) {
    const store = await settings.storeOf(name);
    opened.defer(() => store.close());
    stores.set(store.location, store);
  }
  const [first, ...more] = stores.values();
  if (first === undefined) throw new Error('a repository is named');
  if (more.length === 0) return await act([await openRepository(first, signing)], []);
  const repositories: Repository[] = [];
  const absent: string[] = [];
  for (const store of stores.values()) {
    const repository = await findRepository(store, signing).catch((error: unknown) => {
      throw withoutIt(asFailure(error), store.location);
    });
    if (repository === undefined) absent.push(store.location);
    else repositories.push(repository);
  }
  return await act(repositories.length > 0 ? repositories : [await openRepository(first, signing)], absent);
}

/** The same for a restore, which must not miss what an absent one may hold. */
export function withAllRepositories<T>(
  settings: Settings,
  signal: AbortSignal,
  act: (repositories: readonly Repository[]) => Promise<T>,
): Promise<T> {
  return withRepositories(settings, signal, (repositories, [absent]) => {
    if (absent === undefined) return act(repositories);
    throw withoutIt(new Failure('repository.not_found', 'there is no repository'), absent);
  });
}

/** The others by name, for who wants to go on with what they have. */
function withoutIt(failure: Failure, location: string): Failure {
  return new Failure(failure.code, `${location}: ${failure.message}`, {
    facts: { ...failure.facts, location },
    remedy: `${failure.remedy}; --repository names one of the others, without what only this one holds`,
    cause: failure,
  });
}

/** All repositories that are configured, for who looks for a stream; those that can't be read are told. */
export async function openOthers(
  settings: Settings,
  options: {
    readonly except: string;
    readonly onUnreadable?: ((location: string, failure: Failure) => void) | undefined;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly repositories: readonly Repository[] } & AsyncDisposable> {
  const { except, onUnreadable, signal } = options;
  const opened = new AsyncDisposableStack();
  const repositories: Repository[] = [];
  for (const name of Object.keys(settings.config.repositories ?? {})) {
    const store = await settings.storeOf(name);
    opened.defer(() => store.close());
    if (store.location === except) continue;
    try {
      const found = await findRepository(store, { signer: undefined, trust: settings.trust(), signal });
      if (found !== undefined) repositories.push(found);
    } catch (error) {
      if (signal.aborted) throw error;
      onUnreadable?.(store.location, asFailure(error));
    }
  }
  return { repositories, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
