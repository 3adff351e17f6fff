/** PostgreSQL's frontend/backend protocol 3: frames, messages, bounds. Imports nothing of ours. */
export * from './codes.js';
export * from './limits.js';
export * from './decode.js';
export * as encode from './encode.js';
export type { ErrorFields } from './encode.js';
export { ProtocolViolation } from './violation.js';
export { MessageReader, type Message } from './message-reader.js';
export { readStartupPacket, type StartupPacket } from './startup.js';
export { CHANNEL_BINDING, endPointBinding } from './channel-binding.js';
export { Exchange, type ExchangeImage } from './exchange.js';
export {
  ClientStream,
  type ClientObserver,
  type ClientStreamImage,
  type StreamImage,
} from './client-stream.js';
export type { Direction } from './trace-fields.js';
export { Tracer, type TracedMessage, type TracerOptions } from './tracer.js';
export { EngineStream, type EngineObserver } from './engine-stream.js';
export {
  SCRAM_MECHANISM,
  SCRAM_PLUS_MECHANISM,
  ScramClient,
  ScramServer,
  mockVerifier,
  parseVerifier,
  type ScramKeys,
  type ScramSecret,
  type ScramVerifier,
} from './scram.js';
