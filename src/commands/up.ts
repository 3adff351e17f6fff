/** `dbproxy up`: start an instance, or find that it runs. */
import { boolean, integer, string } from '@oclif/core/flags';
import type { UpResult } from '../control/api.js';
import type { UpRequest } from '../control/client.js';
import { MAX_WRITERS } from '../control/multiwriter/names.js';
import { parseStorageNodes } from '../control/multiwriter/settings.js';
import { MAX_PROXIES } from '../control/paths.js';
import { DbproxyError } from '../errors/index.js';
import { sizeFlag } from '../cli/flags.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { DEFAULT_REFRESH_MS, hasScreen, openWatch } from '../cli/open-watch.js';
import { upView } from '../cli/views/up.js';

export default class Up extends InstanceCommand<typeof Up, UpResult> {
  static override summary = 'start PostgreSQL behind the proxy';
  static override description =
    'Ready means that a query through the proxy was answered. Does nothing when the instance runs already.';
  static override examples = [
    '<%= config.bin %> up',
    '<%= config.bin %> up --name shop --port 6500 --size medium',
    '<%= config.bin %> up --provider docker --image pgvector/pgvector:pg17',
    '<%= config.bin %> up --tls required',
    '<%= config.bin %> up --name shop --writers 2',
    '<%= config.bin %> up --name shop --writers 2 --store etcd://127.0.0.1:2379/shop',
    '<%= config.bin %> up --watch',
    '<%= config.bin %> up --json',
  ];
  static override flags = {
    port: integer({ min: 1, max: 65_535, description: 'where clients connect (6432 for a new instance)' }),
    host: string({ description: 'address to listen on (127.0.0.1 for a new instance)' }),
    size: sizeFlag({ description: 'size of the engine (small for a new instance)' }),
    postgres: string({
      description: 'PostgreSQL version, 17.9 or 17 (17 for a new instance); fetched when it is not here',
      helpValue: 'VERSION',
    }),
    provider: string({
      options: ['auto', 'embedded', 'docker'],
      description:
        'how engines run; auto takes containers where a runtime answers, and says why (for a new instance: $DBPROXY_PROVIDER, or auto)',
    }),
    image: string({
      helpValue: 'NAME[:TAG]',
      description:
        'image of the containers; without a tag the version is its tag (for a new instance: $DBPROXY_IMAGE, or postgres)',
    }),
    writers: integer({
      min: 1,
      max: MAX_WRITERS,
      description:
        'engines that all take writes, each with a port of its own (1 for a new instance); may grow while it is down',
    }),
    'storage-nodes': string({
      helpValue: 'N[/Qf/Qc]',
      description:
        'with --writers: processes that keep the log, and how many of them commit a transaction, and let the primary decide (3, which is 3/3/2); with 1 or 2 a single one that is lost stops all commits',
    }),
    store: string({
      helpValue: 'URL',
      description:
        'with --writers: keep the log on etcd instead, such as etcd://10.0.0.1:2379,10.0.0.2:2379/shop (docs/multi-writer.md)',
    }),
    'writer-policy': string({
      options: ['first', 'retries', 'priority'],
      description:
        'with --writers: who goes first where transactions collide and the votes are split: the first, who has tried most often, or who has the highest dbproxy.priority (first)',
    }),
    standby: boolean({
      allowNo: true,
      description:
        'keep a standby that takes over when the engine dies: sessions are held, and go on there (none for a new instance)',
    }),
    'standby-sync': boolean({
      description: 'with a standby that has every commit on its disk before the client is told: none is lost',
    }),
    watch: boolean({ description: 'open the terminal UI once it is ready; in a pipe this does nothing' }),
    tls: string({
      options: ['off', 'on', 'required'],
      description:
        'TLS for clients: off; on, for those that ask; required, over TCP nobody logs in without it (off for a new instance)',
    }),
    'tls-cert': string({
      helpValue: 'FILE',
      description:
        "the server's certificate and those above it, PEM (without it one is made, under a root of its own)",
    }),
    'tls-key': string({ helpValue: 'FILE', description: "the certificate's key, PEM" }),
    'tls-ca': string({
      helpValue: 'FILE',
      description: 'root certificates that clients are told to trust (`sslrootcert` of the URL)',
    }),
    'metrics-port': integer({
      min: 0,
      max: 65_535,
      description:
        'figures for Prometheus at http://127.0.0.1:PORT/metrics; 0: none (none for a new instance)',
    }),
    proxies: integer({
      min: 1,
      max: MAX_PROXIES,
      description:
        'proxy processes that share the port, for more cores (1 for a new instance); may change while it is down',
    }),
    'max-sessions': integer({ min: 1, max: 100_000, description: 'clients at the same time' }),
  };

  /** Whoever asks for the instance starts it. */
  #wanted = false;
  /** There is a supervisor that goes on without us. */
  #starting = false;

  protected override async execute(): Promise<UpResult> {
    this.out.step('up', this.instance);
    const { startInstance } = await import('../control/client.js');
    const { port, host, size, postgres, provider, image } = this.flags;
    const result = await startInstance(
      {
        name: this.instance,
        provider: provider as 'auto' | 'embedded' | 'docker' | undefined,
        maxSessions: this.flags['max-sessions'],
        proxies: this.flags.proxies,
        metricsPort: this.flags['metrics-port'],
        tls: this.flags.tls as 'off' | 'on' | 'required' | undefined,
        tlsCert: this.flags['tls-cert'],
        tlsKey: this.flags['tls-key'],
        tlsCa: this.flags['tls-ca'],
        standby: standbyOf(this.flags),
        writers: this.flags.writers,
        storageNodes: this.flags['storage-nodes'],
        store: this.flags.store,
        writerPolicy: this.flags['writer-policy'] as UpRequest['writerPolicy'],
        ...{ port, host, size, postgres, image },
        onWanted: () => (this.#wanted = true),
      },
      ({ step, detail, fraction }) => {
        this.#starting ||= step === 'supervisor';
        this.out.step(step, detail, fraction);
      },
    );
    if (this.flags.watch && !this.out.json && hasScreen()) await this.#watch();
    return result;
  }

  /** How to connect is said when the screen is left: then it stays. */
  async #watch(): Promise<void> {
    this.out.endProgress();
    await openWatch(this.instance, DEFAULT_REFRESH_MS, this.config.commandIDs);
  }

  protected override show(result: UpResult): void {
    this.out.data(upView(result, this.out.style));
    this.#warnOfStore();
    const other = result.engines.some(({ size }) => size === 'large') ? 'small' : 'large';
    const second = result.writers.length > 1 ? 'dbproxy conflict' : `dbproxy scale --to ${other}`;
    this.out.hint('next', ['dbproxy psql', second, 'dbproxy down']);
  }

  /** Said where it was asked for: what was chosen by nobody takes the loss of a node. */
  #warnOfStore(): void {
    const asked = this.flags['storage-nodes'];
    if (asked === undefined) return;
    const { nodes, classic } = parseStorageNodes(asked);
    if (classic === nodes)
      this.out.note(`--storage-nodes ${asked}: one lost node stops all commits; with 3, one may be lost`);
  }

  protected override afterInterruption(): string {
    if (!this.#wanted) return 'nothing was started; what was fetched is kept';
    const who = this.#starting ? 'the instance goes on starting' : 'the next command starts the instance';
    return `${who}; dbproxy down --name ${this.instance} stops it`;
  }
}

const standbyOf = (flags: { standby?: boolean; 'standby-sync'?: boolean }): UpRequest['standby'] => {
  if (flags['standby-sync'] && flags.standby === false)
    throw new DbproxyError('DBP_USAGE', { reason: '--standby-sync is a standby, --no-standby is none' });
  if (flags['standby-sync']) return 'sync';
  return flags.standby === undefined ? undefined : flags.standby ? 'async' : 'off';
};
