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
/// database or of a later version. Nothing is done then, and the next call tries again. A file of an earlier
/// version is brought to this one when it is opened, with its keys; earlier programs refuse it from then on.
/// Lifetime: it must outlive the subscriptions that use it.
class SqliteKeyStore {
 public:
  /// What is to be written together with a completion. Runs inside the transaction; an error undoes what it
  /// wrote, and the key is not completed.
  using Effect = detail::UniqueFunction<Result<>(sqlite3*)>;

  /// Opens nothing yet. Throws std::invalid_argument.
  explicit SqliteKeyStore(SqliteKeyStoreOptions options)
      : options_{std::move(options)}, clock_{options_.clock != nullptr ? options_.clock : &system_clock_} {
    const auto require = [](bool good, const char* what) {
      if (!good) throw std::invalid_argument{std::string{"omnibus: SqliteKeyStore: "} + what};
    };
    require(!options_.path.empty(), "path must not be empty");
    require(options_.path.find('\0') == std::string::npos, "path must not have a zero byte");
    require(options_.keep > Duration::zero(), "keep must be positive");
    require(options_.max_result <= detail::most_max_result, "max_result must be at most 1 MiB");
    require(options_.busy_timeout >= Duration::zero(), "busy_timeout must not be negative");
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
  std::size_t max_result() const noexcept { return options_.max_result; }

 private:
  static constexpr std::int64_t version = 2;
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

  // ── who writes ─────────────────────────────────────────────────────────────────────────────────

  Result<> complete(const IdempotencyKey& key, const Claim& claim, Effect* effect, std::string_view result) {
    if (result.size() > options_.max_result) {
      return detail::result_too_large(result.size(), options_.max_result);
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
    const Result<> written = detail::guarded([&] { return transact(batch); });
    if (written) return;
    for (Request* each : batch) each->result = written.error();
    close();  // whatever is wrong, the next one begins anew
  }
  Result<> transact(const Batch& batch) {
    if (Result<> opened = open(); !opened) return opened;
    if (Result<> begun = check(database_.run("BEGIN IMMEDIATE")); !begun) return begun;
    Result<> written = all_of(batch);
    if (written) written = check(database_.run("COMMIT"));
    if (!written) (void)database_.run("ROLLBACK");
    return written;
  }

  /// What it returns concerns the file, and with it everybody; the rest is each request's own result.
  Result<> all_of(const Batch& batch) {
    now_ = detail::larger(now_, milliseconds(clock_->wall().time_since_epoch()));
    {
      const detail::sqlite::Use fence{read_fence_};
      if (fence->step() != SQLITE_ROW) return problem();
      fence_ = fence->number(0);
    }
    const std::int64_t before = fence_;
    for (Request* each : batch) {
      Result<> done = each->kind == Request::Kind::claim ? take(*each) : settle(*each);
      if (!done) return done;
    }
    if (fence_ == before) return {};
    const detail::sqlite::Use fence{write_fence_};
    if (fence->bind(1, fence_).step() != SQLITE_DONE) return problem();
    return forget(batch.size());
  }

  Result<> take(Request& request) {
    std::int64_t row = 0;
    {
      const detail::sqlite::Use find{find_};
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
        return problem();
      }
    }
    const std::int64_t until = plus(now_, milliseconds(request.lease));
    const std::int64_t forget_at = plus(until, milliseconds(options_.keep));
    const detail::sqlite::Use store{row != 0 ? take_over_ : insert_};
    store->bind(1, ++fence_).bind(2, until).bind(3, forget_at);
    if (row != 0) {
      store->bind(4, row);
    } else {
      store->bind(4, fingerprint_of(request));
      bind_key(*store.operator->(), request.key, 5);
    }
    if (store->step() != SQLITE_DONE) return problem();
    request.claim.fence = static_cast<std::uint64_t>(fence_);
    return answer(request, Claim::State::acquired, request.lease);
  }

  Result<> settle(Request& request) {
    if (request.effect != nullptr) return settle_with_effect(request);
    return settle_key(request);
  }
  Result<> settle_key(Request& request) {
    const bool completes = request.kind == Request::Kind::complete;
    const detail::sqlite::Use settle{completes ? complete_ : release_};
    bind_key(*settle.operator->(), request.key)
        .bind(4, static_cast<std::int64_t>(request.claim.fence));
    if (completes) settle->bind(5, request.kept);
    if (settle->step() != SQLITE_DONE) return problem();
    if (sqlite3_changes(database_.get()) == 1) return {};
    request.result = detail::no_longer_held(completes ? "complete" : "release");
    return {};
  }
  Result<> settle_with_effect(Request& request) {
    if (Result<> begun = check(database_.run("SAVEPOINT omnibus_effect")); !begun) return begun;
    if (Result<> settled = settle_key(request); !settled) return settled;
    if (request.result) {
      request.result = detail::guarded([&] { return (*request.effect)(database_.get()); });
    }
    if (!request.result) (void)database_.run("ROLLBACK TO omnibus_effect");
    return check(database_.run("RELEASE omnibus_effect"));
  }

  /// Forgets some keys whose time is over: more than may have come since.
  Result<> forget(std::size_t at_least) {
    const detail::sqlite::Use forget{forget_};
    forget->bind(1, now_).bind(2, static_cast<std::int64_t>(at_least) * 2);
    if (forget->step() != SQLITE_DONE) return problem();
    return {};
  }

  // ── the file ───────────────────────────────────────────────────────────────────────────────────

  Result<> open() {
    if (database_.is_open()) return {};
    const auto busy = std::chrono::duration_cast<std::chrono::milliseconds>(options_.busy_timeout);
    const int code = database_.open(options_.path, static_cast<int>(detail::smaller<std::int64_t>(
                                                       busy.count(), std::int64_t{INT32_MAX})));
    Result<> opened = check(code);
    if (opened) opened = check(database_.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"));
    if (opened) opened = check_version();
    if (opened) opened = prepare();
    if (!opened) close();
    return opened;
  }

  Result<> check_version() {
    // Another process may make the tables at the same time.
    Result<> made = check(database_.run(
        "BEGIN IMMEDIATE;"
        "CREATE TABLE IF NOT EXISTS omnibus_meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
        "INSERT OR IGNORE INTO omnibus_meta VALUES('keys.version', 2), ('keys.fence', 0)"));
    if (!made) return rolled_back(made);
    detail::sqlite::Statement look;
    made = check(look.prepare(database_, "SELECT value FROM omnibus_meta WHERE name = 'keys.version'"));
    if (made && look.step() != SQLITE_ROW) made = problem();
    if (!made) return rolled_back(made);
    const std::int64_t found = look.number(0);
    look.finalize();
    if (found == 1) {  // of before results were kept
      made = check(database_.run("ALTER TABLE omnibus_keys ADD COLUMN result BLOB;"
                                 "UPDATE omnibus_meta SET value = 2 WHERE name = 'keys.version'"));
      if (!made) return rolled_back(made);
    } else if (found != version) {
      return rolled_back(Error::make(Errc::topology_mismatch, "open " + options_.path,
                                     "its keys are of version " + std::to_string(found) +
                                         ", and this program knows version " + std::to_string(version)));
    }
    made = check(database_.run(
        "CREATE TABLE IF NOT EXISTS omnibus_keys(id INTEGER PRIMARY KEY, fence INTEGER NOT NULL,"
        " until INTEGER NOT NULL, forget_at INTEGER NOT NULL, completed INTEGER NOT NULL DEFAULT 0,"
        " fingerprint BLOB NOT NULL, consumer BLOB NOT NULL, topic BLOB NOT NULL, key BLOB NOT NULL,"
        " result BLOB);"
        "CREATE UNIQUE INDEX IF NOT EXISTS omnibus_keys_name ON omnibus_keys(consumer, topic, key);"
        "CREATE INDEX IF NOT EXISTS omnibus_keys_old ON omnibus_keys(forget_at);"
        "COMMIT"));
    return made ? made : rolled_back(made);
  }
  Result<> rolled_back(Result<> why) {
    (void)database_.run("ROLLBACK");
    return why;
  }

  Result<> prepare() {
    const std::pair<detail::sqlite::Statement&, std::string_view> all[] = {
        {read_fence_, "SELECT value FROM omnibus_meta WHERE name = 'keys.fence'"},
        {write_fence_, "UPDATE omnibus_meta SET value = ?1 WHERE name = 'keys.fence'"},
        {find_, "SELECT id, fingerprint, until, completed, result FROM omnibus_keys"
                " WHERE consumer = ?1 AND topic = ?2 AND key = ?3"},
        {insert_, "INSERT INTO omnibus_keys(fence, until, forget_at, fingerprint, consumer, topic, key)"
                  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
        {take_over_, "UPDATE omnibus_keys SET fence = ?1, until = ?2, forget_at = ?3 WHERE id = ?4"},
        {complete_, "UPDATE omnibus_keys SET completed = 1, result = ?5"
                    " WHERE consumer = ?1 AND topic = ?2 AND key = ?3 AND fence = ?4 AND completed = 0"},
        {release_, "DELETE FROM omnibus_keys"
                   " WHERE consumer = ?1 AND topic = ?2 AND key = ?3 AND fence = ?4 AND completed = 0"},
        {forget_, "DELETE FROM omnibus_keys WHERE id IN"
                  " (SELECT id FROM omnibus_keys WHERE forget_at <= ?1 ORDER BY forget_at LIMIT ?2)"},
    };
    for (const auto& [statement, sql] : all) {
      if (Result<> prepared = check(statement.prepare(database_, sql)); !prepared) return prepared;
    }
    return {};
  }

  void close() noexcept {
    for (auto* each : {&read_fence_, &write_fence_, &find_, &insert_, &take_over_, &complete_, &release_,
                       &forget_}) {
      each->finalize();
    }
    database_.close();
  }

  // ── words and numbers ──────────────────────────────────────────────────────────────────────────

  Result<> check(int code) const {
    if (code == SQLITE_OK) return {};
    return problem(code);
  }
  Error problem() const { return problem(sqlite3_extended_errcode(database_.get())); }
  Error problem(int code) const {
    std::string why = database_.problem();
    why.append(" (").append(sqlite3_errstr(code)).append(")");
    return Error::make(errc_of(code), "use " + options_.path, std::move(why));
  }
  static Errc errc_of(int code) noexcept {
    switch (code & 0xff) {
      case SQLITE_READONLY:
      case SQLITE_PERM:
      case SQLITE_AUTH: return Errc::access_denied;
      case SQLITE_NOTADB:
      case SQLITE_CORRUPT:
      case SQLITE_ERROR:
      case SQLITE_SCHEMA: return Errc::topology_mismatch;
      case SQLITE_MISUSE: return Errc::internal;
      default: return Errc::unavailable;
    }
  }
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

  const SqliteKeyStoreOptions options_;
  SystemClock system_clock_;
  const Clock* clock_;

  detail::Combiner<Request> callers_;

  std::int64_t now_ = INT64_MIN;  // of the one who writes, from here ...
  std::int64_t fence_ = 0;
  detail::sqlite::Database database_;  // goes after its statements
  detail::sqlite::Statement read_fence_, write_fence_, find_, insert_, take_over_, complete_, release_,
      forget_;  // ... to here
};

static_assert(KeyStore<SqliteKeyStore>);

}  // namespace omnibus
