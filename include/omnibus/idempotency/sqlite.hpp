// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <omnibus/clock.hpp>
#include <omnibus/delivery.hpp>
#include <omnibus/detail/combiner.hpp>
#include <omnibus/detail/hash.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/sqlite.hpp>
#include <omnibus/detail/sqlite_file.hpp>
#include <omnibus/detail/unique_function.hpp>
#include <omnibus/effects.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/idempotency/store.hpp>

// Idempotency keys in a file, for the processes of one machine: they outlive all of them.

namespace omnibus {

/// Where a SqliteKeyStore keeps its keys, and for how long.
struct SqliteKeyStoreOptions {
  std::string path;                                   ///< of the file; it may have tables of yours as well
  Duration keep = std::chrono::hours{24};             ///< how long a completed key is remembered, at least
  std::size_t max_result = detail::usual_max_result;  ///< bytes that a completion may leave; 1 MiB at most
  Duration busy_timeout = std::chrono::seconds{5};    ///< while another process writes
  const Clock* clock = nullptr;                       ///< nullptr: the machine's; its wall time decides
};

/// A KeyStore in an SQLite file with a write-ahead log; what it has answered is on the disk
/// (synchronous=FULL). Callers that come while others write share the next transaction, so that many lanes
/// pay for one flush of the disk together.
/// The wall clock of the machine decides. Set back, it stands still for this store until it has caught up;
/// set forward, leases end early.
/// Thread safety: shared objects are safe, and so are several processes. Blocks: until the disk has it.
/// Errors of every call: unavailable, when the file is locked for too long, the disk is full or broken, or
/// the file cannot be opened; access_denied, when it may not be written; topology_mismatch, when it is no
/// database or of a later version; unsupported, when it is no file on a local disk. Nothing is done then, and the next call tries again. A file of an earlier
/// version is brought to this one when it is opened, with its keys; earlier programs refuse it from then on.
/// Lifetime: it must outlive the subscriptions that use it.
class SqliteKeyStore {
 public:
  /// What is to be written together with a completion. Runs inside the transaction; an error undoes what it
  /// wrote, and the key is not completed.
  using Effect = detail::UniqueFunction<Result<>(sqlite3*)>;

  /// Opens nothing yet. Throws std::invalid_argument.
  explicit SqliteKeyStore(SqliteKeyStoreOptions options)
      : keep_{options.keep},
        max_result_{options.max_result},
        clock_{options.clock != nullptr ? options.clock : &system_clock_},
        file_{"SqliteKeyStore", std::move(options.path), options.busy_timeout, tables, sql} {
    const auto require = [](bool good, const char* what) {
      if (!good) throw std::invalid_argument{std::string{"omnibus: SqliteKeyStore: "} + what};
    };
    require(keep_ > Duration::zero(), "keep must be positive");
    require(max_result_ <= detail::most_max_result, "max_result must be at most 1 MiB");
  }
  SqliteKeyStore(const SqliteKeyStore&) = delete;
  SqliteKeyStore& operator=(const SqliteKeyStore&) = delete;

  Result<Claim> claim(const IdempotencyKey& key, const detail::Hash128& fingerprint, Duration lease) {
    Request request{Request::Kind::claim, key};
    std::memcpy(request.fingerprint, &fingerprint, sizeof request.fingerprint);
    request.lease = lease;
    if (Result<> done = carry_out(request); !done) return std::move(done.error());
    return request.claim;
  }
  Result<> complete(const IdempotencyKey& key, const Claim& claim, std::string_view result = {}) {
    return complete(key, claim, nullptr, result);
  }
  /// Completes a key and writes effects of yours in one transaction: both are done, or neither is. `effect`
  /// must not end the transaction; it may run on any thread that uses the store, while this call blocks.
  /// Errors: the effect's, and those of `complete`.
  Result<> complete_with(const IdempotencyKey& key, const Claim& claim, Effect effect,
                         std::string_view result = {}) {
    return complete(key, claim, &effect, result);
  }
  /// For handlers behind idempotent() with this store: has `effect` written in the transaction that completes
  /// the delivery's key, once the handler has ended well. Several are written in order. Return what it
  /// returns: an effect that is not taken is not written.
  /// Errors: unsupported, where no idempotent() with this store runs the handler.
  Result<> write_with(const Delivery& delivery, Effect effect) {
    Effects* const effects = delivery.effects();
    if (effects == nullptr || effects->store() != this) {
      return Error::make(Errc::unsupported, "write with the completion",
                         "the handler is not behind idempotent() with this store");
    }
    effects->add([effect = std::move(effect)](void* connection) mutable {
      return effect(static_cast<sqlite3*>(connection));
    });
    return {};
  }
  Result<> release(const IdempotencyKey& key, const Claim& claim) {
    Request request{Request::Kind::release, key};
    request.claim = claim;
    return carry_out(request);
  }
  std::size_t max_result() const noexcept { return max_result_; }

 private:
  static constexpr std::int64_t no_end = INT64_MAX;

  struct Request {
    enum class Kind : std::uint8_t { claim, complete, release };
    Kind kind;
    const IdempotencyKey& key;
    char fingerprint[16]{};
    Duration lease{};
    Claim claim{};
    std::string_view kept{};  ///< with a completion
    Effect* effect = nullptr;
    Result<> result{};
  };
  using Batch = detail::Combiner<Request>::Batch;

  static constexpr detail::sqlite::Tables tables{
      "keys", "keys", 2,
      "INSERT OR IGNORE INTO omnibus_meta VALUES('keys.fence', 0);"
      "CREATE TABLE IF NOT EXISTS omnibus_keys(id INTEGER PRIMARY KEY, fence INTEGER NOT NULL,"
      " until INTEGER NOT NULL, forget_at INTEGER NOT NULL, completed INTEGER NOT NULL DEFAULT 0,"
      " fingerprint BLOB NOT NULL, consumer BLOB NOT NULL, topic BLOB NOT NULL, key BLOB NOT NULL,"
      " result BLOB);"
      "CREATE UNIQUE INDEX IF NOT EXISTS omnibus_keys_name ON omnibus_keys(consumer, topic, key);"
      "CREATE INDEX IF NOT EXISTS omnibus_keys_old ON omnibus_keys(forget_at)",
      "ALTER TABLE omnibus_keys ADD COLUMN result BLOB"};
  enum Statement : std::size_t { read_fence, write_fence, find_key, insert_key, take_over, complete_key,
                                 release_key, forget_keys, statements };
  using File = detail::sqlite::File<statements>;
  static constexpr File::Sql sql{
      "SELECT value FROM omnibus_meta WHERE name = 'keys.fence'",
      "UPDATE omnibus_meta SET value = ?1 WHERE name = 'keys.fence'",
      "SELECT id, fingerprint, until, completed, result FROM omnibus_keys"
      " WHERE consumer = ?1 AND topic = ?2 AND key = ?3",
      "INSERT INTO omnibus_keys(fence, until, forget_at, fingerprint, consumer, topic, key)"
      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
      "UPDATE omnibus_keys SET fence = ?1, until = ?2, forget_at = ?3 WHERE id = ?4",
      "UPDATE omnibus_keys SET completed = 1, result = ?5"
      " WHERE consumer = ?1 AND topic = ?2 AND key = ?3 AND fence = ?4 AND completed = 0",
      "DELETE FROM omnibus_keys"
      " WHERE consumer = ?1 AND topic = ?2 AND key = ?3 AND fence = ?4 AND completed = 0",
      "DELETE FROM omnibus_keys WHERE id IN"
      " (SELECT id FROM omnibus_keys WHERE forget_at <= ?1 ORDER BY forget_at LIMIT ?2)"};

  // ── who writes ─────────────────────────────────────────────────────────────────────────────────

  Result<> complete(const IdempotencyKey& key, const Claim& claim, Effect* effect, std::string_view result) {
    if (result.size() > max_result_) {
      return detail::result_too_large(result.size(), max_result_);
    }
    Request request{Request::Kind::complete, key};
    request.claim = claim;
    request.effect = effect;
    request.kept = result;
    return carry_out(request);
  }
  Result<> carry_out(Request& request) {
    callers_.carry_out(request, [this](const Batch& batch) noexcept { write(batch); });
    return std::move(request.result);
  }

  // ── the transaction ────────────────────────────────────────────────────────────────────────────

  void write(const Batch& batch) noexcept {
    const Result<> written =
        detail::guarded([&] { return file_.transact([&] { return all_of(batch); }); });
    if (written) return;
    for (Request* each : batch) each->result = written.error();
  }

  /// What it returns concerns the file, and with it everybody; the rest is each request's own result.
  Result<> all_of(const Batch& batch) {
    now_ = detail::larger(now_, milliseconds(clock_->wall().time_since_epoch()));
    {
      const detail::sqlite::Use fence{file_[read_fence]};
      if (fence->step() != SQLITE_ROW) return file_.problem();
      fence_ = fence->number(0);
    }
    const std::int64_t before = fence_;
    for (Request* each : batch) {
      Result<> done = each->kind == Request::Kind::claim ? take(*each) : settle(*each);
      if (!done) return done;
    }
    if (fence_ == before) return {};
    const detail::sqlite::Use fence{file_[write_fence]};
    if (fence->bind(1, fence_).step() != SQLITE_DONE) return file_.problem();
    return forget(batch.size());
  }

  Result<> take(Request& request) {
    std::int64_t row = 0;
    {
      const detail::sqlite::Use find{file_[find_key]};
      const int code = bind_key(*find.operator->(), request.key).step();
      if (code == SQLITE_ROW) {
        row = find->number(0);
        if (find->bytes(1) != fingerprint_of(request)) return answer(request, Claim::State::mismatch);
        if (find->number(3) != 0) {
          request.claim.result = find->bytes(4);
          return answer(request, Claim::State::completed);
        }
        if (find->number(2) > now_) {
          return answer(request, Claim::State::in_progress, from_ms(find->number(2) - now_));
        }
      } else if (code != SQLITE_DONE) {
        return file_.problem();
      }
    }
    const std::int64_t until = plus(now_, milliseconds(request.lease));
    const std::int64_t forget_at = plus(until, milliseconds(keep_));
    const detail::sqlite::Use store{file_[row != 0 ? take_over : insert_key]};
    store->bind(1, ++fence_).bind(2, until).bind(3, forget_at);
    if (row != 0) {
      store->bind(4, row);
    } else {
      store->bind(4, fingerprint_of(request));
      bind_key(*store.operator->(), request.key, 5);
    }
    if (store->step() != SQLITE_DONE) return file_.problem();
    request.claim.fence = static_cast<std::uint64_t>(fence_);
    return answer(request, Claim::State::acquired, request.lease);
  }

  Result<> settle(Request& request) {
    if (request.effect != nullptr) return settle_with_effect(request);
    return settle_key(request);
  }
  Result<> settle_key(Request& request) {
    const bool completes = request.kind == Request::Kind::complete;
    const detail::sqlite::Use settle{file_[completes ? complete_key : release_key]};
    bind_key(*settle.operator->(), request.key)
        .bind(4, static_cast<std::int64_t>(request.claim.fence));
    if (completes) settle->bind(5, request.kept);
    if (settle->step() != SQLITE_DONE) return file_.problem();
    if (file_.changes() == 1) return {};
    request.result = detail::no_longer_held(completes ? "complete" : "release");
    return {};
  }
  Result<> settle_with_effect(Request& request) {
    if (Result<> begun = file_.run("SAVEPOINT omnibus_effect"); !begun) return begun;
    if (Result<> settled = settle_key(request); !settled) return settled;
    if (request.result) {
      request.result = detail::guarded([&] { return (*request.effect)(file_.connection()); });
    }
    if (!request.result) (void)file_.run("ROLLBACK TO omnibus_effect");
    return file_.run("RELEASE omnibus_effect");
  }

  /// Forgets some keys whose time is over: more than may have come since.
  Result<> forget(std::size_t at_least) {
    const detail::sqlite::Use forget{file_[forget_keys]};
    forget->bind(1, now_).bind(2, static_cast<std::int64_t>(at_least) * 2);
    if (forget->step() != SQLITE_DONE) return file_.problem();
    return {};
  }

  // ── words and numbers ──────────────────────────────────────────────────────────────────────────

  static Result<> answer(Request& request, Claim::State state, Duration lease = {}) noexcept {
    request.claim.state = state;
    request.claim.lease = lease;
    return {};
  }
  static std::string_view fingerprint_of(const Request& request) noexcept {
    return {request.fingerprint, sizeof request.fingerprint};
  }
  static detail::sqlite::Statement& bind_key(detail::sqlite::Statement& statement, const IdempotencyKey& key,
                                             int first = 1) noexcept {
    return statement.bind(first, key.consumer).bind(first + 1, key.topic).bind(first + 2, key.key);
  }
  static std::int64_t milliseconds(Duration duration) noexcept {
    return std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  }
  static Duration from_ms(std::int64_t ms) noexcept {
    constexpr std::int64_t most = 9'000'000'000'000;  // of what fits into nanoseconds
    return std::chrono::milliseconds{detail::smaller(ms, most)};
  }
  static std::int64_t plus(std::int64_t moment, std::int64_t more) noexcept {
    return more > no_end - moment ? no_end : moment + more;
  }

  const Duration keep_;
  const std::size_t max_result_;
  SystemClock system_clock_;
  const Clock* clock_;

  detail::Combiner<Request> callers_;

  std::int64_t now_ = INT64_MIN;  // of the one who writes, from here ...
  std::int64_t fence_ = 0;
  File file_;  // ... to here
};

static_assert(KeyStore<SqliteKeyStore>);

}  // namespace omnibus
