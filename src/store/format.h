/* format: what is on disk.  The numbers here are for good: what changes their meaning raises
 * FORMAT_VERSION, and the version before it stays readable.
 *
 * FILES, in the folder "store" below the state folder, mode 0600:
 *   data.mdb   an LMDB environment (data format 1), pages of the size of the machine that made it
 *   lock.mdb   LMDB's table of readers; means nothing when no process has the store open
 *   ballast    a reserve of disk space; holds nothing
 *
 * DATABASES.  LMDB's main database holds one named database a row; the names are plain text without
 * a NUL.  All keys are one or two 64-bit numbers, big-endian, so that they sort as numbers:
 *
 *   place name      key             value: one record of kind
 *   0     meta      what            1: FORMAT, 2: STATE
 *   1     sessions  session         SESSION
 *   2     subs      session, sub    SUB
 *   3     queue     session, seq    QUEUED (holds its message) or QUEUED_REF (names a body)
 *   4     bodies    message         BODY: a message that several queues refer to
 *   5     refs      message         REFS: how many records of queue name that body, never 0
 *   6     pids      session, id     PID: a QoS 2 packet identifier that came in
 *   7     retained  value           RETAINED
 *   8     drops     session         DROPS: only for sessions that lost something
 *   9     ended     session         ENDED: the session is gone, some of what was its is still there
 *
 * Records of subs, queue, pids and drops whose session is in "ended" and not in "sessions" are
 * leftovers that are being deleted in slices.
 *
 * A RECORD is
 *
 *   u8   format     1: plain, 2: sealed
 *   u8   kind       enum format_kind
 *   u32  length     of the fields
 *   -- plain:
 *   ...  fields
 *   u32  checksum   CRC-32C (Castagnoli; reflected, initial and final complement) of the place of
 *                   the database (u8), the key as stored, and the record up to here
 *   -- sealed:
 *   12   nonce      epoch (u24), random number of this opening (u24), counter (u48)
 *   ...  fields     AES-256-GCM, key: that of the store; additional data: place (u8), key as
 *                   stored, the first 6 bytes of the record
 *   16   tag
 *
 * Nothing follows.  All numbers are big-endian.  FORMAT is always plain.
 *
 * FIELDS.  "bytes" is a u32 length and that many bytes; "flags" are bits from the lowest.
 *
 *   FORMAT      12 bytes "picket store", u32 version, 8 bytes key check (FORMAT_CHECK: what says
 *               whether a key is the right one; all zero: records are plain)
 *   STATE       u64 epoch, u64 store time ms, u64 wall time ms of the same moment, u8 flags (clean)
 *   message     u64 number, u64 expires ms (0: never), u8 qos, u8 flags (retain),
 *               bytes topic, bytes properties, bytes payload
 *   who         u64 identity, bytes name, bytes client id, bytes username, bytes certificate CN,
 *               bytes certificate SAN, bytes listener, 16 bytes address, u8 flags (tls)
 *   SESSION     who, u8 version, u32 kind, u32 expiry s, u64 away ms, u64 sent, u64 created ms,
 *               u8 flags (a will follows); the will: u32 delay s, u32 expiry s, u8 flags (expires),
 *               message
 *   SUB         u32 identifier, u8 qos, u8 retain handling, u8 flags (no local, retain as
 *               published), bytes filter
 *   QUEUED      u8 state (0 queued, 1 released), u8 qos, u8 flags (retain), u64 expires ms,
 *               u32 bytes of topic, properties and payload, u16 shared subscription (0: none),
 *               u32 count of subscription identifiers, each u32; message
 *   QUEUED_REF  as QUEUED up to the identifiers; u64 number of the body
 *   BODY        message
 *   REFS        u32 count
 *   PID, ENDED  nothing
 *   RETAINED    u64 stored ms, who, message
 *   DROPS       u8 count of counters, each u32, in the order of enum store_drop */
#ifndef PICKET_STORE_FORMAT_H
#define PICKET_STORE_FORMAT_H

#include "base/base.h"

enum { FORMAT_VERSION = 1, FORMAT_OLDEST = 1 };
enum { FORMAT_PLAIN = 1, FORMAT_SEALED = 2 };
enum { FORMAT_HEAD = 6, FORMAT_SUM = 4, FORMAT_NONCE = 12, FORMAT_TAG = 16, FORMAT_CHECK = 8 };
enum { META_FORMAT = 1, META_STATE = 2 };
#define FORMAT_NAME "picket store"

enum format_kind {
	REC_FORMAT = 1,
	REC_STATE,
	REC_SESSION,
	REC_SUB,
	REC_QUEUED,
	REC_QUEUED_REF,
	REC_BODY,
	REC_REFS,
	REC_PID,
	REC_RETAINED,
	REC_DROPS,
	REC_ENDED
};

#endif
