import { readFile } from 'node:fs/promises';
import { createOpener, createSealer, parseIdentityFile } from '../archive/age.ts';
import type { Opener, Sealer } from '../archive/age.ts';
import type { Signer, Trust } from '../archive/signature.ts';
import { assertSourceName } from '../catalog/ids.ts';
import type { Signing } from '../catalog/signatures.ts';
import { readStoredIdentity } from '../catalog/stored-identity.ts';
import { Failure } from '../model/failure.ts';
import { parsePeriod, parseRate } from '../model/quantities.ts';
import { parseConnectionService, parseConnectionUrl } from '../postgres/connection-settings.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { discoverTools } from '../postgres/tools.ts';
import type { ClientTools } from '../postgres/tools.ts';
import type { RetentionRules } from '../retention/plan.ts';
import { Meter } from '../storage/meter.ts';
import type { Traffic } from '../storage/meter.ts';
import { openStore } from '../storage/open-store.ts';
import { RateLimit } from '../storage/rate-limit.ts';
import type { RateLimits } from '../storage/rate-limit.ts';
import type { Store } from '../storage/store.ts';
import { loadConfig, onlyName } from './config.ts';
import type { Config, LoadedConfig } from './config.ts';
import { loadSigner, loadTrust, refuseUnreadable } from './signing-keys.ts';

/** What every command takes on its command line. */
export interface CommonOptions {
  readonly config?: string;
  readonly url?: string;
  readonly source?: string;
  readonly repository?: string;
  readonly identityFile?: string;
  /** Bytes per second. */
  readonly limitUpload?: number;
  readonly limitDownload?: number;
}

/** What all settings of one run have in common. */
interface Sharing {
  readonly meter: Meter;
  /** By repository: however often its store is opened, its transfers share one limit. */
  readonly limits: Map<string, RateLimits>;
}

type RepositoryEntry = NonNullable<Config['repositories']>[string];

type Environment = Readonly<Record<string, string | undefined>>;

/** Command line, configuration file and environment put together; the command line wins, then the file. */
export class Settings {
  readonly loaded: LoadedConfig;
  readonly environment: Environment;
  readonly sourceName: string;
  readonly #options: CommonOptions;
  readonly #sharing: Sharing;
  #storageClass: string | undefined;

  private constructor(
    options: CommonOptions,
    loaded: LoadedConfig,
    environment: Environment,
    sharing: Sharing = { meter: new Meter(), limits: new Map() },
  ) {
    this.#options = options;
    this.loaded = loaded;
    this.environment = environment;
    this.#sharing = sharing;
    this.sourceName = options.source ?? onlyName(loaded.config.sources) ?? 'main';
    assertSourceName(this.sourceName);
  }

  static async load(options: CommonOptions, environment: Environment = process.env): Promise<Settings> {
    return new Settings(options, await loadConfig(options.config, environment), environment);
  }

  get config(): Config {
    return this.loaded.config;
  }

  /** The same with another repository (undefined: the same one) and storage class: what a schedule names. Limits and traffic are shared. */
  forSchedule(to: {
    readonly repository: string | undefined;
    readonly storageClass: string | undefined;
  }): Settings {
    const options =
      to.repository === undefined ? this.#options : { ...this.#options, repository: to.repository };
    const { storageClass = this.#storageClass } = to;
    const settings = new Settings(options, this.loaded, this.environment, this.#sharing);
    settings.#storageClass = storageClass;
    return settings;
  }

  /** Undefined when no source is configured anywhere. */
  findSource(): ConnectionSettings | undefined {
    const text =
      this.#options.url ??
      this.config.sources?.[this.sourceName]?.url ??
      this.environment['DATABASE_URL'] ??
      this.environment['SUPABASE_DB_URL'];
    return text === undefined ? undefined : this.connection(text);
  }

  /** Fails with `config.missing`. */
  source(): ConnectionSettings {
    const found = this.findSource();
    if (found !== undefined) return found;
    throw new Failure('config.missing', `no connection URL for source ${this.sourceName}`, {
      remedy: 'pass --url, set DATABASE_URL or SUPABASE_DB_URL, or write sources.main.url into tidemark.yaml',
    });
  }

  /** The source by its direct URL, which change capture needs. Fails with `config.missing`. */
  captureSource(): ConnectionSettings {
    const direct = this.config.sources?.[this.sourceName]?.captureUrl;
    return this.#options.url === undefined && direct !== undefined ? this.connection(direct) : this.source();
  }

  /** A URL as written by the user: `env:NAME` stands for a variable's value, `service:NAME` for a service of libpq. */
  connection(text: string): ConnectionSettings {
    const service = /^service:(.+)$/.exec(text)?.[1];
    if (service !== undefined) return parseConnectionService(service, this.environment);
    const variable = /^env:(\w+)$/.exec(text)?.[1];
    if (variable === undefined) return parseConnectionUrl(text, this.environment);
    const value = this.environment[variable];
    if (value === undefined || value === '') {
      throw new Failure('config.missing', `the environment variable ${variable} is not set`, {
        facts: { variable },
      });
    }
    return parseConnectionUrl(value, this.environment);
  }

  /** The repository's store; to be closed by the caller. Fails with `config.missing`. */
  async store(): Promise<Store> {
    const found = await this.findStore();
    if (found !== undefined) return found;
    throw new Failure('config.missing', 'no repository is named', {
      remedy: 'pass --repository DIR or s3://bucket/prefix, or write repositories into tidemark.yaml',
    });
  }

  /** Undefined when no repository is configured anywhere. */
  async findStore(): Promise<Store | undefined> {
    const named = this.#repositoryName();
    return named === undefined ? undefined : this.storeOf(named);
  }

  /** For who reads whatever there is: the one that is named, else all that are configured, where changes go first. */
  repositoryNames(): string[] {
    const named = this.#named();
    if (named !== undefined) return [named];
    const first = this.config.capture?.repository;
    const names = Object.keys(this.config.repositories ?? {});
    return first === undefined ? names : [first, ...names.filter((name) => name !== first)];
  }

  /** By the command line or the environment. */
  #named(): string | undefined {
    return this.#options.repository ?? this.environment['TIDEMARK_REPOSITORY'];
  }

  /** By a name of the configuration or a URL; to be closed by the caller. */
  async storeOf(named: string): Promise<Store> {
    const entry = this.config.repositories?.[named];
    const { meter } = this.#sharing;
    const limits = this.#sharing.limits.get(named) ?? this.#limitsOf(entry);
    this.#sharing.limits.set(named, limits);
    const settings =
      entry === undefined ? { url: named } : typeof entry === 'string' ? { url: entry } : entry;
    const storageClass = this.#storageClass;
    return openStore(storageClass === undefined ? settings : { ...settings, storageClass }, {
      meter,
      limits,
    });
  }

  #repositoryName(): string | undefined {
    return this.#named() ?? this.config.capture?.repository ?? onlyName(this.config.repositories);
  }

  /** What `prune` keeps in the repository that is meant, and its grace. Fails with `config.missing`. */
  retention(): { readonly rules: RetentionRules; readonly graceMs: number } {
    const named = this.#repositoryName();
    const found = named === undefined ? undefined : this.config.retention?.[named];
    if (found === undefined)
      throw new Failure('config.missing', 'nothing says what this repository keeps', {
        remedy:
          'write retention: { NAME: { keepDaily: 7 } } into tidemark.yaml, by the repository’s name there',
      });
    const { keepWithin, changes, grace, timezone = 'UTC', ...counts } = found;
    const period = (text: string | undefined): number | undefined =>
      text === undefined ? undefined : parsePeriod(text);
    return {
      rules: { ...counts, keepWithin: period(keepWithin), changes: period(changes), timezone },
      graceMs: period(grace) ?? DEFAULT_GRACE_MS,
    };
  }

  /** The command line's limits are those of whatever repository it names. */
  #limitsOf(entry: RepositoryEntry | undefined): RateLimits {
    const { upload, download } = (typeof entry === 'object' ? entry.limits : undefined) ?? {};
    const limit = (given: number | undefined, text: string | undefined): RateLimit | undefined => {
      const rate = given ?? (text === undefined ? undefined : parseRate(text));
      return rate === undefined ? undefined : new RateLimit(rate);
    };
    return {
      upload: limit(this.#options.limitUpload, upload),
      download: limit(this.#options.limitDownload, download),
    };
  }

  /** Of all repositories so far. */
  get traffic(): Traffic {
    return this.#sharing.meter.traffic;
  }

  /** For who only reads. Undefined: nothing is authenticated. Fails with `key.invalid`. */
  trust(): Trust | undefined {
    return loadTrust(this.config);
  }

  /** Undefined: nothing is signed. Fails with `key.missing` or `key.invalid`. */
  signer(): Promise<Signer | undefined> {
    return loadSigner(this.config);
  }

  /** For who writes. Fails with `config.invalid` when what is written would be refused when it is read. */
  async signing(): Promise<Signing> {
    const signing = { signer: await this.signer(), trust: this.trust() };
    refuseUnreadable(signing);
    return signing;
  }

  /** Undefined: nothing is encrypted. */
  sealer(): Sealer | undefined {
    const recipients = this.config.encryption?.recipients ?? [];
    return recipients.length === 0 ? undefined : createSealer(recipients);
  }

  /**
   * By the identity file, else by the repositories' own identities and their passphrase. Undefined when neither is named.
   * Fails with `key.invalid`, `key.missing` or `key.wrong`.
   */
  async opener(): Promise<Opener | undefined> {
    const file =
      this.#options.identityFile ??
      this.environment['TIDEMARK_IDENTITY_FILE'] ??
      this.config.encryption?.identityFile;
    if (file === undefined) return this.#storedOpener();
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (cause) {
      throw new Failure('key.missing', `the identity file ${file} can't be read`, { facts: { file }, cause });
    }
    return createOpener(parseIdentityFile(text));
  }

  /** Of the identity in a repository, which nothing but the environment may tell: argv and files are read by others. */
  passphrase(): string | undefined {
    const given = this.environment['TIDEMARK_PASSPHRASE'];
    return given === '' ? undefined : given;
  }

  async #storedOpener(): Promise<Opener | undefined> {
    const passphrase = this.passphrase();
    if (passphrase === undefined) return undefined;
    const identities: string[] = [];
    for (const name of this.repositoryNames()) {
      const store = await this.storeOf(name);
      try {
        const signal = AbortSignal.timeout(IDENTITY_MS);
        const identity = await readStoredIdentity(store, passphrase, { signal });
        if (identity !== undefined) identities.push(identity);
      } finally {
        await store.close();
      }
    }
    return identities.length === 0 ? undefined : createOpener(identities);
  }

  tools(signal: AbortSignal): Promise<ClientTools[]> {
    return discoverTools({
      binDirectories: this.environment['TIDEMARK_PG_BIN'],
      searchPath: this.environment['PATH'] ?? '',
      signal,
    });
  }
}

/** A restore that may write no lease has this long between its plan and the first thing that it misses. */
const DEFAULT_GRACE_MS = 3_600_000;
/** The store waits out an outage itself (storage/s3-retries.ts). */
const IDENTITY_MS = 180_000;
