/**
 * The entries of the error catalogue, by area. Codes are `DBP_<AREA>_<THING>` and never change their meaning.
 * Every code is thrown somewhere in src/ (a test checks it) and documented in docs/errors.md (generated).
 */
import type { CatalogueEntry } from './index.js';

const define = <const T extends Record<string, CatalogueEntry>>(entries: T): T => entries;

export const catalogue = define({
  // --- usage ---------------------------------------------------------------------------------------------------------
  DBP_USAGE: {
    message: '{reason}',
    exit: 2,
    suggestions: ['[{next}]', 'dbproxy help[ {command}]'],
  },
  DBP_USAGE_UNKNOWN_COMMAND: {
    message: 'unknown command "{command}"',
    exit: 127,
    suggestions: ['{next}'],
  },
  DBP_USAGE_NOT_CONFIRMED: {
    message: 'not confirmed: {what} stays',
    exit: 2,
    suggestions: ['dbproxy down', 'dbproxy down --purge --yes'],
  },
  DBP_USAGE_UNKNOWN_SIZE: {
    message: 'unknown size "{size}"; the sizes are {sizes}',
    exit: 2,
    suggestions: ['dbproxy {next}'],
  },
  DBP_USAGE_SHRINK: {
    message:
      'in place a size only grows: {to} has less than {from}, and what an engine uses cannot be taken from it while it runs',
    exit: 2,
    suggestions: ['dbproxy scale --to {to}'],
  },
  DBP_USAGE_AUTOSCALE: {
    message: '{reason}',
    exit: 2,
    suggestions: ['dbproxy autoscale on {fix}'],
  },
  DBP_USAGE_UNKNOWN_SESSION: {
    message: 'there is no session {id}',
    exit: 2,
    suggestions: ['dbproxy sessions'],
  },
  DBP_USAGE_UNKNOWN_VERSION: {
    message: 'PostgreSQL {version} is not available; the nearest: {nearest}',
    exit: 2,
    suggestions: ['dbproxy engine ls --available', 'dbproxy {verb} {first}'],
  },
  DBP_USAGE_IMAGE: {
    message: 'the image {image} cannot be used: {reason}',
    exit: 2,
    suggestions: ['dbproxy up --provider docker --image postgres:17'],
  },
  DBP_USAGE_IMAGE_VERSION: {
    message: 'the image {image} holds PostgreSQL {found}, wanted is {wanted}',
    exit: 2,
    suggestions: ['dbproxy up --image {image} --postgres {found}', 'another image'],
  },
  DBP_USAGE_INSTANCE_NAME: {
    message: 'instance name "{name}" is not allowed: 1 to 32 of a-z, 0-9 and "-", beginning with a letter',
    exit: 2,
    suggestions: ['dbproxy up --name shop'],
  },
  // --- environment ---------------------------------------------------------------------------------------------------
  DBP_ENV_PORT_TAKEN: {
    message: 'port {port} on {host} is taken by {holder}',
    exit: 4,
    suggestions: ['dbproxy up --port {free}'],
  },
  DBP_ENV_LISTEN: {
    message: 'nothing can listen on {host}, port {port}: {reason}',
    exit: 4,
    suggestions: ['dbproxy up --host 127.0.0.1 --port 6432'],
  },
  DBP_ENV_METRICS_PORT: {
    message: 'port {port} for metrics is taken by {holder}',
    exit: 4,
    suggestions: ['dbproxy up --metrics-port {free}'],
  },
  DBP_ENV_NO_PROVIDER: {
    message: 'no way to run PostgreSQL here: {reason}',
    exit: 4,
    suggestions: ['dbproxy doctor'],
  },
  DBP_ENV_DOCKER: {
    message: 'no container runtime that can be used answers: {reason}',
    exit: 4,
    suggestions: ['start Docker, Podman or Colima', 'dbproxy doctor', 'dbproxy up --provider embedded'],
  },
  DBP_ENV_IMAGE: {
    message: 'the image {image} is not here, and cannot be pulled: {reason}',
    exit: 4,
    suggestions: [
      'docker pull {image}, where there is a network',
      'dbproxy up --image NAME, with one that is here: docker images',
      'dbproxy up --provider embedded',
    ],
  },
  DBP_ENV_NODE: {
    message: 'the processes of instance "{name}" cannot be started with {node}: {reason}',
    exit: 4,
    suggestions: ['with a node that is there: dbproxy patch --self --name {name}'],
  },
  DBP_ENV_DIRECTORY: {
    message: 'the directory {directory} cannot be used: {reason}',
    exit: 4,
    suggestions: [
      'set DBPROXY_HOME (for the cache of engines: DBPROXY_CACHE) to a directory of yours',
      'dbproxy doctor',
    ],
  },
  DBP_ENV_DISK_FULL: {
    message: 'the disk of {directory} is full: {reason}',
    exit: 4,
    suggestions: ['make room there: df -h {disk}', 'dbproxy up, then the command again'],
  },
  DBP_ENV_FILE: {
    message: 'the file {file} cannot be written: {reason}',
    exit: 4,
    suggestions: ['name a file in a directory that is there', 'df -h {directory}'],
  },
  DBP_ENV_OPEN_FILES: {
    message: 'no more files may be open: {reason}',
    exit: 4,
    suggestions: ['ulimit -n 4096, then the command again'],
  },
  DBP_ENV_OUTPUT: {
    message: 'the output cannot be written: {reason}',
    exit: 4,
    suggestions: ['send it elsewhere, or make room there', 'what the command did is done: dbproxy status'],
  },
  DBP_ENV_REGISTRY: {
    message: 'the npm registry {registry} does not help: {reason}; here without it: PostgreSQL {here}',
    exit: 4,
    suggestions: [
      'dbproxy engine ls',
      'npm config get registry',
      'the same command again: it goes on where it was',
    ],
  },
  DBP_TLS_FILE: {
    message: 'the TLS file {file} cannot be used: {reason}',
    exit: 2,
    suggestions: [
      'dbproxy up --tls on, without files: a certificate is made',
      'openssl x509 -noout -text -in FILE shows what a certificate says',
    ],
  },
  DBP_ENV_MISSING_TOOL: {
    message: '{tool} is not installed here',
    exit: 4,
    suggestions: ['{hint}'],
  },
  // --- instance ------------------------------------------------------------------------------------------------------
  DBP_INSTANCE_NOT_RUNNING: {
    message: 'instance "{name}" is not running[; others are: {others}]',
    exit: 4,
    suggestions: ['dbproxy up --name {name}', '[{see}]'],
  },
  DBP_INSTANCE_BUSY: {
    message: 'another operation runs on this instance: {operation} {id}, {progress}',
    exit: 1,
    suggestions: ['dbproxy status', 'dbproxy events --follow'],
  },
  DBP_INSTANCE_SETTINGS_DIFFER: {
    message: 'instance "{name}" already runs with {setting} {running}, asked for {wanted}',
    exit: 2,
    suggestions: ['{next}', 'dbproxy up --name other'],
  },
  DBP_INSTANCE_EXISTS: {
    message: 'there is an instance "{name}" already, and a playground has one of its own',
    exit: 2,
    suggestions: ['leave the name out: one is made up', 'dbproxy down --purge --name {name}'],
  },
  DBP_INSTANCE_START_FAILED: {
    message: 'instance "{name}" did not start: {reason}',
    exit: 1,
    suggestions: ['dbproxy logs', 'dbproxy doctor'],
  },
  DBP_INSTANCE_DAMAGED: {
    message: 'the file {file} is damaged: {reason}',
    exit: 1,
    suggestions: ['restore or remove that file', 'dbproxy down --purge'],
  },
  DBP_SUPERVISOR_GONE: {
    message: 'the supervisor went away before it answered: {reason}',
    exit: 1,
    suggestions: ['dbproxy status', 'dbproxy logs supervisor'],
  },
  // --- engine --------------------------------------------------------------------------------------------------------
  DBP_ENGINE_INITDB: {
    message: 'initdb failed: {reason}',
    exit: 1,
    suggestions: ['dbproxy doctor'],
  },
  DBP_ENGINE_START: {
    message: 'engine {engine} did not become ready within {waitedMs} ms: {reason}\n{log}',
    exit: 1,
    suggestions: ['dbproxy logs {engine}'],
  },
  DBP_ENGINE_STOP: {
    message: 'engine {engine} did not stop within {waitedMs} ms',
    exit: 1,
    suggestions: ['dbproxy logs {engine}'],
  },
  DBP_ENGINE_LOST: {
    message: 'engine {engine} is gone: {reason}',
    exit: 1,
    suggestions: ['dbproxy logs {engine}', 'dbproxy up'],
  },
  DBP_ENGINE_STANDBY: {
    message: 'the standby {engine} could not be made: {reason}',
    exit: 1,
    suggestions: ['dbproxy logs {engine}'],
  },
  DBP_ENGINE_RESIZE: {
    message: 'engine {engine} could not be made {size} while it runs: {reason}',
    exit: 1,
    suggestions: ['dbproxy scale --to {size}', 'dbproxy logs {engine}'],
  },
  DBP_ENGINE_INCOMPATIBLE: {
    message: 'the data cannot be used by {engine}: {reason}',
    exit: 1,
    suggestions: ['dbproxy status', 'an image of the same operating system and version'],
  },
  DBP_ENGINE_QUERY: {
    message: 'a query of ours failed on engine {engine}: {reason}',
    exit: 1,
    suggestions: ['dbproxy logs {engine}'],
  },
  DBP_ENGINE_CORRUPT: {
    message:
      'PostgreSQL {version} as it was fetched is not what the registry promised, and was thrown away: {reason}',
    exit: 1,
    suggestions: [
      'dbproxy engine add {version}',
      'look at what lies between here and the registry: a proxy, a mirror',
    ],
  },
  DBP_ENGINE_BUSY: {
    message: 'another process works on {name} all the time',
    exit: 1,
    suggestions: ['dbproxy engine ls', 'dbproxy doctor'],
  },
  DBP_ENGINE_IN_USE: {
    message: 'PostgreSQL {version} stays: it is used by {users}',
    exit: 1,
    suggestions: ['dbproxy engine ls', 'dbproxy status', 'dbproxy down --purge'],
  },
  DBP_ENGINE_NOT_CACHED: {
    message: 'PostgreSQL {version} is not in the cache: {reason}',
    exit: 2,
    suggestions: ['dbproxy engine ls'],
  },
  // --- switchover ----------------------------------------------------------------------------------------------------
  DBP_PROXY_HANDOVER: {
    message: 'the proxy was not replaced[ {how}], the one that runs goes on: {reason}',
    exit: 1,
    suggestions: ['dbproxy status', 'dbproxy logs proxy'],
  },
  DBP_PROXY_STANDSTILL: {
    message:
      'the proxy was not replaced, the one that runs goes on: {reason}, for longer than {deadlineMs} ms',
    exit: 5,
    suggestions: [
      'dbproxy sessions --name {name}',
      'dbproxy patch --self --name {name} --on-timeout cancel',
      'dbproxy patch --self --name {name} --deadline 10m',
    ],
  },
  DBP_SWITCH_UNMOVABLE: {
    message: 'rolled back, because a session cannot be moved: session {session} ({user}@{database}) {why}',
    exit: 1,
    suggestions: [
      'dbproxy check',
      'dbproxy {command} --unmovable wait',
      'dbproxy {command} --unmovable drop',
    ],
  },
  DBP_SWITCH_DEADLINE: {
    message:
      'rolled back after {attempts} attempts in {deadlineMs} ms: session {session} ({user}@{database}) {why}',
    exit: 5,
    suggestions: ['dbproxy sessions', 'dbproxy check', 'dbproxy {command} --on-timeout cancel'],
  },
  DBP_SWITCH_TIMEOUT: {
    message: 'rolled back after {attempts} attempts in {deadlineMs} ms: {reason}',
    exit: 5,
    suggestions: ['dbproxy status', 'dbproxy {command} --hold-budget 500ms'],
  },
  DBP_SWITCH_ROLLED_BACK: {
    message: 'rolled back in step {step}: {reason}',
    exit: 1,
    suggestions: ['dbproxy status', 'dbproxy events'],
  },
  DBP_SWITCH_HOLD_LOST: {
    message: 'the proxy had already let the sessions go on: {reason}',
    exit: 1,
    suggestions: ['dbproxy {command} --hold-budget 500ms'],
  },
  // --- patch ---------------------------------------------------------------------------------------------------------
  DBP_PATCH_MAJOR: {
    message:
      'PostgreSQL {to} is another major version than {from}: patch goes between the minor versions of one major, whose data files are the same. ' +
      'A new major needs a cluster of its own, initialised by its own initdb; schema and data brought there by logical replication or a dump; ' +
      'what logical replication leaves out (sequences, large objects, DDL made meanwhile, tables without a key) carried at the switch; ' +
      'and sessions whose state names objects by their OIDs, which differ there, translated. dbproxy does none of this',
    exit: 2,
    suggestions: [
      'dbproxy engine ls --available',
      'dbproxy up --name next --postgres {major}, then pg_dump from the one and psql to the other',
    ],
  },
  DBP_PATCH_DOWNGRADE: {
    message:
      'PostgreSQL {to} is an older major version than {from}, whose data it cannot read: there is no way back across majors but a dump',
    exit: 2,
    suggestions: ['dbproxy engine ls --available'],
  },
  // --- rpc -----------------------------------------------------------------------------------------------------------
  DBP_RPC_UNREACHABLE: {
    message: 'no answer on {socket}: {reason}',
    exit: 1,
    suggestions: ['dbproxy status'],
  },
  DBP_RPC_PROTOCOL: {
    message: 'malformed message on the control socket: {reason}',
    exit: 1,
    suggestions: ['check that both ends have the same version: dbproxy --version'],
  },
  // --- wire: seen by clients of the proxy ----------------------------------------------------------------------------
  DBP_WIRE_PASSWORD: {
    message: 'password authentication failed for user "{user}"',
    exit: 1,
    sqlstate: '28P01',
    suggestions: ['dbproxy url'],
  },
  DBP_WIRE_TLS_REQUIRED: {
    message: 'no pg_hba.conf entry for host "{host}", user "{user}", database "{database}", no encryption',
    exit: 1,
    sqlstate: '28000',
    suggestions: [
      'this instance asks for TLS (dbproxy up --tls required): sslmode=require or better',
      'dbproxy url',
    ],
  },
  DBP_WIRE_FAILED_LOGINS: {
    message: 'too many failed logins of user "{user}" from this address: try again in some seconds',
    exit: 1,
    sqlstate: '53300',
    suggestions: ['dbproxy url shows the password'],
  },
  DBP_WIRE_TOO_MANY_SESSIONS: {
    message: 'sorry, too many clients already ({limit} sessions)',
    exit: 1,
    sqlstate: '53300',
    suggestions: [],
  },
  DBP_WIRE_TOO_MANY_LOGINS: {
    message: 'sorry, too many clients already ({limit} log in at this moment)',
    exit: 1,
    sqlstate: '53300',
    suggestions: [],
  },
  DBP_WIRE_LOGIN_TIMEOUT: {
    message: 'canceling authentication due to timeout ({limitMs} ms)',
    exit: 1,
    sqlstate: '08006',
    suggestions: [],
  },
  DBP_WIRE_REPLICATION: {
    message: 'replication connections cannot pass through dbproxy: they cannot be moved between engines',
    exit: 1,
    sqlstate: '0A000',
    suggestions: ['connect to the engine itself'],
  },
  DBP_WIRE_ENGINE_UNAVAILABLE: {
    message: 'the engine behind dbproxy cannot be reached: {reason}',
    exit: 1,
    sqlstate: '57P03',
    suggestions: ['dbproxy status'],
  },
  DBP_WIRE_PROXY_REPLACED: {
    message: 'dbproxy is replaced by a new process, and this login had not ended: connect again',
    exit: 1,
    sqlstate: '57P03',
    suggestions: [],
  },
  DBP_WIRE_ENGINE_LOST: {
    message: 'terminating connection: the engine behind dbproxy went away',
    exit: 1,
    sqlstate: '57P01',
    suggestions: ['dbproxy status'],
  },
  DBP_WIRE_SHUTDOWN: {
    message: 'terminating connection due to administrator command',
    exit: 1,
    sqlstate: '57P01',
    suggestions: ['dbproxy up'],
  },
  DBP_WIRE_SESSION_DROPPED: {
    message: 'terminating connection: this session could not be moved to the new engine ({reason})',
    exit: 1,
    sqlstate: '57P01',
    suggestions: ['dbproxy check'],
  },
  DBP_WIRE_TRANSACTION_CANCELED: {
    message: 'canceling this transaction: dbproxy moves the session to another engine ({operation})',
    exit: 1,
    sqlstate: '40001',
    suggestions: ['retry the transaction'],
  },
  DBP_WIRE_OUTCOME_UNKNOWN: {
    message:
      'the engine went away while this was under way; whether it was committed is not known ({operation})',
    exit: 1,
    sqlstate: '08007',
    suggestions: ['look whether it is there before it is tried again'],
  },
  // --- workload ------------------------------------------------------------------------------------------------------
  DBP_WORKLOAD_TARGET: {
    message: 'the workload cannot run on this database: {reason}',
    exit: 1,
    suggestions: ['[{next}]', 'dbproxy status'],
  },
  DBP_WORKLOAD_UNKNOWN: {
    message: '{reason}',
    exit: 2,
    suggestions: ['dbproxy workload ls'],
  },
  DBP_WORKLOAD_SCRIPT: {
    message: '{file}:{line}: {reason}[{others}]',
    exit: 2,
    suggestions: ['docs/workloads.md has what a script can say', 'dbproxy workload ls'],
  },
  DBP_WORKLOAD_PROCESS: {
    message: 'the process that makes the load ended without a result: {reason}',
    exit: 1,
    suggestions: ['dbproxy doctor'],
  },
  // --- scenario ------------------------------------------------------------------------------------------------------
  DBP_SCENARIO_INVALID: {
    message: '{file}:{line}: {reason}[{others}]',
    exit: 2,
    suggestions: ['docs/scenarios.md has what a scenario can say', 'dbproxy demo init'],
  },
  DBP_SCENARIO_UNKNOWN: {
    message: 'there is no scenario "{name}"; {hint}[{others}]',
    exit: 2,
    suggestions: ['dbproxy demo ls'],
  },
  DBP_SCENARIO_EXISTS: {
    message: '{file} is there already',
    exit: 2,
    suggestions: ['dbproxy demo init other.yaml', 'dbproxy demo init {file} --force'],
  },
  DBP_SCENARIO_TIMEOUT: {
    message: '{what} took longer than {limitMs} ms',
    exit: 5,
    suggestions: [
      'give it a longer timeout in the file',
      'dbproxy demo run FILE --keep, and look: dbproxy events',
    ],
  },
  DBP_SCENARIO_SQL: {
    message: 'the statement failed: {reason}',
    exit: 1,
    suggestions: ['fails: SQLSTATE in the step, if that is what it should do'],
  },
  DBP_SCENARIO_FAULT: {
    message: 'there is no {victim} that could be killed now',
    exit: 1,
    suggestions: ['fault: with another at: (docs/scenarios.md)'],
  },
  // --- several writers: the store ------------------------------------------------------------------------------------
  DBP_STORE_QUORUMS: {
    message: 'quorums {sizes} are refused: {reason}',
    exit: 2,
    suggestions: ['3/3/2, 4/3/3 and 5/4/3 (nodes/votes/answers to the primary) are safe sizes'],
  },
  DBP_STORE_DAMAGED: {
    message: 'the log {file} is damaged: {reason}',
    exit: 4,
    suggestions: [
      'the store goes on without this node, as long as enough others answer',
      'check the disk; only an undamaged copy of this very file helps',
    ],
  },
  DBP_STORE_FOREIGN: {
    message: 'the log {file} belongs to {found}, not to {node} of {store}',
    exit: 4,
    suggestions: ['put the directory of {node} back'],
  },
  DBP_STORE_LOST: {
    message: 'the log of storage node {node} is not in {directory}, and with it the votes that it gave',
    exit: 4,
    suggestions: ['put the directory of {node} back; without its votes the node must not vote again'],
  },
  DBP_STORE_OLD_DATA: {
    message: 'storage node {node} has old data: {position} records, and {peer} has seen {remembered}',
    exit: 4,
    suggestions: ['put the newest directory of {node} back; with an older one the node must not vote again'],
  },
  DBP_STORE_NODE_START: {
    message: 'storage node {node} does not run: {reason}',
    exit: 4,
    suggestions: ['dbproxy status', 'dbproxy events'],
  },
  DBP_ETCD_AWAY: {
    message: 'etcd at {endpoints} cannot be reached: {reason}',
    exit: 4,
    suggestions: [
      'see that etcd runs, and where it listens; then the same again',
      'what waits for it goes on when it is back',
    ],
  },
  DBP_ETCD_REFUSED: {
    message: 'etcd refuses: {reason}',
    exit: 4,
    suggestions: ['user, password and rights in the URL of --store', 'docs/multi-writer.md, "On etcd"'],
  },
  DBP_ETCD_FULL: {
    message: 'etcd has no room: {reason}',
    exit: 4,
    suggestions: [
      'etcdctl compact, etcdctl defrag, etcdctl alarm disarm; or a larger --quota-backend-bytes',
      'docs/multi-writer.md, "On etcd"',
    ],
  },
  DBP_ETCD_FOREIGN: {
    message: 'below {prefix} etcd keeps the log of another instance, or something else',
    exit: 2,
    suggestions: ['give each instance a prefix of its own: --store etcd://host:2379/shop'],
  },
  DBP_ETCD_LOST: {
    message: 'below {prefix} etcd has nothing, and this instance had its log there',
    exit: 4,
    suggestions: ['bring back the cluster, or the prefix, that it was started with'],
  },
  DBP_WRITERS_UNKNOWN: {
    message: 'instance "{name}" has no writer {writer}; it has {writers}',
    exit: 2,
    suggestions: ['dbproxy status --name {name}', '[dbproxy up --name {name} --writers {more}]'],
  },
  DBP_WRITERS_SINGLE: {
    message: 'instance "{name}" has one writer; it takes two to have a conflict',
    exit: 2,
    suggestions: ['dbproxy up --name {other} --writers 2', 'dbproxy conflict --name {other}'],
  },
  DBP_WRITERS_STOPPED: {
    message: 'of the writers of instance "{name}" {running} runs; it takes two to have a conflict',
    exit: 2,
    suggestions: ['dbproxy up --name {name}', 'dbproxy status --name {name}'],
  },
  DBP_CONFLICT_RUNS: {
    message:
      'conflicts are being made on instance "{name}" already: two at once would count the same rows; again when that is over',
    exit: 1,
    suggestions: ['dbproxy events'],
  },
  DBP_CONFLICT_FOREIGN: {
    message: '{tables} was not made by `conflict`, or by an older one: it would delete the rows there',
    exit: 2,
    suggestions: [
      'yours: ALTER SCHEMA {schema} RENAME TO …',
      'nobody needs it: DROP SCHEMA {schema} CASCADE',
    ],
  },
  DBP_CONFLICT_CLIENT: {
    message: 'a client of writer {writer} could not go on: {reason}',
    exit: 1,
    suggestions: ['dbproxy status', 'dbproxy events'],
  },
  DBP_STORE_TOO_LARGE: {
    message: 'a transaction of {bytes} bytes is too large for several writers: at most {limit}',
    exit: 1,
    sqlstate: '54000',
    suggestions: [
      'write it in smaller transactions',
      'load it while there is one writer, and add others then',
    ],
  },
  DBP_WRITER_STOPPED: {
    message: 'writer {writer} has stopped: {reason}',
    exit: 4,
    sqlstate: '57P03',
    suggestions: [
      'connect to another writer',
      'dbproxy status',
      'dbproxy up: a writer that holds other rows than the log is built again',
    ],
  },
  DBP_WRITER_DIVERGED: {
    message: 'writer {writer} holds other rows than the log: {reason}',
    exit: 4,
    suggestions: ['dbproxy up --name {name}'],
  },
  DBP_WRITER_NO_SOURCE: {
    message: 'writer {writer} has to be a copy of another one, and none of them runs',
    exit: 4,
    suggestions: ['dbproxy status --name {name}', 'dbproxy up --name {name}'],
  },
  DBP_WRITER_NONE: {
    message: 'this proxy is not that of a writer',
    exit: 2,
    suggestions: ['dbproxy up --writers 2'],
  },
  // --- the rest ------------------------------------------------------------------------------------------------------
  DBP_INTERRUPTED: {
    message: 'interrupted by {signal}',
    exit: 130,
    suggestions: [],
  },
  DBP_TERMINATED: {
    message: 'terminated by {signal}',
    exit: 143,
    suggestions: [],
  },
  DBP_INTERNAL: {
    message: 'internal error: {reason}',
    exit: 1,
    suggestions: ['please report this, with the output of dbproxy doctor'],
  },
});
