/**
 * Bounds of the wire protocol, with their origin. What exceeds one is answered with FATAL 08P01 before anything is
 * allocated for it.
 */

/** Longest start-up packet, bytes (PostgreSQL: MAX_STARTUP_PACKET_LENGTH, libpq/pqcomm.h). */
export const MAX_STARTUP_PACKET_BYTES = 10_000;

/** Longest message during authentication, bytes (PostgreSQL: PG_MAX_AUTH_TOKEN_LENGTH, libpq/auth.h). */
export const MAX_AUTH_MESSAGE_BYTES = 65_535;

/** Longest Query, Parse, Bind, FunctionCall or CopyData (PostgreSQL: PQ_LARGE_MESSAGE_LIMIT, MaxAllocSize - 1). */
export const MAX_LARGE_MESSAGE_BYTES = 0x3fff_fffe;

/** Longest message of any other type (PostgreSQL: PQ_SMALL_MESSAGE_LIMIT, libpq/libpq.h). */
export const MAX_SMALL_MESSAGE_BYTES = 10_000;

/** Longest message of an engine, bytes: a DataRow may be 1 GB. */
export const MAX_BACKEND_MESSAGE_BYTES = 0x7fff_fffe;

/** A Parse, Query or Close that arrives in pieces is assembled for a look up to this length, bytes. */
export const MAX_OBSERVED_MESSAGE_BYTES = 4 * 1024 * 1024;

/** Longest secret of a cancel key, bytes (protocol 3.2, manual 54.2.8). */
export const MAX_CANCEL_SECRET_BYTES = 256;
