// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/clock.hpp>
#include <omnibus/detail/sqlite.hpp>
#include <omnibus/detail/sqlite_errors.hpp>
#include <omnibus/detail/sqlite_tables.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/headers.hpp>
#include <omnibus/limits.hpp>
#include <omnibus/message.hpp>
#include <omnibus/outbox/tables.hpp>
#include <omnibus/publishing.hpp>
#include <omnibus/result.hpp>

// Messages that are stored with the change they tell of, in one transaction, to be published later.

namespace omnibus {

/// How a SqliteOutbox takes messages.
struct SqliteOutboxOptions {
  MessageLimits limits{};        ///< checked before anything is stored
  const Clock* clock = nullptr;  ///< that stamps messages; nullptr: the machine's
};

/// How to add one message; as PublishOptions.
struct OutboxAdd {
  std::string_view key = {};  ///< what must stay in order; empty: the codec's key, if it has one
  Headers headers = {};
  std::string_view id = {};   ///< unique, and the same however often it is sent; empty: a new UUIDv7
  Sequence sequence = {};     ///< where the message stands in its key's numbering
};

/// The outbox in the file of a connection of yours: what is added in a transaction is there once that commits, and
/// never when it does not. An OutboxRelay on the file publishes it.
///
///     ob::SqliteOutbox outbox{connection};
///     // BEGIN IMMEDIATE; INSERT INTO orders ...
///     outbox.add("orders", OrderPlaced{.id = "o-17"}).value();
///     // COMMIT
///
/// Delivery: at least once from the commit on, as durable as the commit is. Order: of one key, in the order in which
/// it was added; transactions count in the order of their commits.
/// Thread safety: as the connection, one thread at a time. Blocking: as the connection; a transaction that has not
/// written before waits here for others that write, as long as its busy timeout says.
/// Errors of every call: invalid_argument, where no transaction is open; unavailable, when others write for too long,
/// or the disk is full or broken; access_denied, when it may not be written; topology_mismatch, when it is no database
/// or its outbox is of another version. Then roll the transaction back.
/// Lifetime: it goes before the connection, and makes the tables where they are not there.
class SqliteOutbox {
 public:
  /// Reads nothing yet. Throws std::invalid_argument.
  explicit SqliteOutbox(sqlite3* connection, SqliteOutboxOptions options = {})
      : connection_{connection},
        options_{options},
        clock_{options.clock != nullptr ? options.clock : &machine_} {
    if (connection_ == nullptr) throw std::invalid_argument{"omnibus: SqliteOutbox: connection must not be null"};
  }
  SqliteOutbox(const SqliteOutbox&) = delete;
  SqliteOutbox& operator=(const SqliteOutbox&) = delete;

  /// Adds an event, which is any type with a Codec, a Message or a MessageView, to the open transaction.
  /// Errors, beside those of every call: invalid_argument, too_large, encode_failed: nothing is added then.
  template <class E>
  Result<> add(std::string_view topic, const E& event, const OutboxAdd& how = {}) {
    detail::check_event<E>();
    detail::EncodedMessage encoded;
    const Time now = clock_->wall();
    const detail::UuidText id = ids_.next(now);
    Result<> ready = encoded.encode(event, how, {id.data(), id.size()}, now);
    if (ready) ready = check_topic(topic);
    if (ready) ready = check_message(encoded.message, options_.limits);
    if (ready) ready = within([&] { return insert(topic, encoded.message); });
    return ready;
  }

  /// Takes a message that was not relayed yet back, in the open transaction: one that no broker takes, which holds up
  /// its key. False: it is not there. It may have been published all the same, when a relay was at it.
  Result<bool> discard(std::string_view id) {
    bool found = false;
    const Result<> done = within([&] {
      remove_.bind(1, id);
      const detail::sqlite::Use use{remove_};
      const int code = remove_.step();
      found = code == SQLITE_DONE && sqlite3_changes(connection_) > 0;
      return code;
    });
    if (!done) return done.error();
    return found;
  }

 private:
  static Result<> check_topic(std::string_view topic) {
    if (is_topic_name(topic)) return {};
    return Error::make(Errc::invalid_argument, "add to the outbox",
                       "the topic is empty, over 249 characters or has one that is not a letter, digit, '.', '_', ':' "
                       "or '-'");
  }

  int insert(std::string_view topic, const MessageView& message) {
    using std::chrono::duration_cast, std::chrono::microseconds;
    const detail::sqlite::Use use{insert_};
    return insert_.bind(1, duration_cast<microseconds>(message.time.time_since_epoch()).count())
        .bind(2, static_cast<std::int64_t>(message.sequence.epoch))
        .bind(3, static_cast<std::int64_t>(message.sequence.number))
        .bind(4, topic)
        .bind(5, message.key)
        .bind(6, message.id)
        .bind(7, message.type)
        .bind(8, message.headers.block())
        .bind(9, message.payload)
        .step();
  }

  /// Carries out `write()`, which returns SQLite's code. A file without an outbox gets one, also when the transaction
  /// that has made it was rolled back.
  template <class Write>
  Result<> within(Write write) {
    if (sqlite3_get_autocommit(connection_) != 0) {
      return Error::make(Errc::invalid_argument, "use the outbox",
                         "the connection is in no transaction: BEGIN IMMEDIATE, and COMMIT with what it tells of");
    }
    if (insert_.is_prepared()) {
      const int code = write();
      if (code == SQLITE_DONE) return {};
      if ((code & 0xff) != SQLITE_ERROR && (code & 0xff) != SQLITE_SCHEMA) return problem();
    }
    insert_.finalize();
    remove_.finalize();
    if (Result<> made = detail::sqlite::make_tables(connection_, path(), outbox::tables); !made) return made;
    if (insert_.prepare(connection_,
                        "INSERT INTO omnibus_outbox(time, epoch, number, topic, key, id, type, headers, payload)"
                        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)") != SQLITE_OK ||
        remove_.prepare(connection_, "DELETE FROM omnibus_outbox WHERE id = ?1") != SQLITE_OK) {
      insert_.finalize();
      return problem();
    }
    if (write() == SQLITE_DONE) return {};
    return problem();
  }
  Error problem() const { return detail::sqlite::problem(connection_, path()); }
  std::string path() const {
    const char* const name = sqlite3_db_filename(connection_, "main");
    return name != nullptr ? name : "";
  }

  sqlite3* const connection_;
  const SqliteOutboxOptions options_;
  SystemClock machine_;
  const Clock* clock_;
  detail::UuidGenerator ids_;
  detail::sqlite::Statement insert_, remove_;
};

}  // namespace omnibus
