// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/detail/combiner.hpp>
#include <omnibus/detail/sqlite.hpp>
#include <omnibus/detail/sqlite_file.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/parked_store.hpp>

// Parked keys in a file, for the processes of one machine: they outlive all of them.

namespace omnibus {

/// Where a SqliteParkedStore keeps its keys.
struct SqliteParkedStoreOptions {
  std::string path;                                 ///< of the file; it may have tables of yours as well
  Duration busy_timeout = std::chrono::seconds{5};  ///< while another process writes
};

/// A ParkedStore in an SQLite file with a write-ahead log; what it has answered is on the disk
/// (synchronous=FULL). Callers that come while others write share the next transaction. The file may be that
/// of a SqliteKeyStore. Nothing in it expires: a letter is kept until it is handled or discarded.
/// Thread safety: shared objects are safe, and so are several processes. Blocks: until the disk has it.
/// Errors of every call: unavailable, when the file is locked for too long, the disk is full or broken, or
/// the file cannot be opened; access_denied, when it may not be written; topology_mismatch, when it is no
/// database or of another version; unsupported, when it is no file on a local disk. Nothing is done then, and the next call tries again. Of `load` also:
/// too_large.
/// Lifetime: it must outlive the subscriptions and tools that use it.
class SqliteParkedStore final : public ParkedStore {
 public:
  /// Opens nothing yet. Throws std::invalid_argument.
  explicit SqliteParkedStore(SqliteParkedStoreOptions options)
      : file_{"SqliteParkedStore", std::move(options.path), options.busy_timeout, tables, sql} {}
  SqliteParkedStore(const SqliteParkedStore&) = delete;
  SqliteParkedStore& operator=(const SqliteParkedStore&) = delete;

  Result<std::vector<ParkedKey>> load(const ParkedPlace& place, std::size_t most) override {
    Request request{Request::Kind::load, place, {}, most};
    if (Result<> done = carry_out(request); !done) return std::move(done.error());
    return std::move(request.keys);
  }
  Result<ParkedState> find(const ParkedPlace& place, std::string_view key, std::string_view id) override {
    Request request{Request::Kind::find, place, {key, id, {}, {}}};
    if (Result<> done = carry_out(request); !done) return std::move(done.error());
    return request.state;
  }
  Result<> add(const ParkedPlace& place, const ParkedLetter& letter) override {
    Request request{Request::Kind::add, place, letter};
    return carry_out(request);
  }
  Result<bool> remove(const ParkedPlace& place, std::string_view key, std::string_view id) override {
    Request request{Request::Kind::remove, place, {key, id, {}, {}}};
    if (Result<> done = carry_out(request); !done) return std::move(done.error());
    return !request.state.parked;
  }

 private:
  struct Request {
    enum class Kind : std::uint8_t { load, find, add, remove };
    Kind kind;
    const ParkedPlace& place;
    ParkedLetter letter;
    std::size_t most = 0;
    ParkedState state{};
    std::vector<ParkedKey> keys{};
    Result<> result{};
  };
  using Batch = detail::Combiner<Request>::Batch;

  static constexpr detail::sqlite::Tables tables{
      "parked", "parked keys", 1,
      "CREATE TABLE IF NOT EXISTS omnibus_parked(id INTEGER PRIMARY KEY, consumer BLOB NOT NULL,"
      " topic BLOB NOT NULL, key BLOB NOT NULL, dead_letter_topic BLOB NOT NULL, died_in BLOB NOT NULL);"
      "CREATE UNIQUE INDEX IF NOT EXISTS omnibus_parked_name ON omnibus_parked(consumer, topic, key);"
      "CREATE TABLE IF NOT EXISTS omnibus_parked_letters(parked INTEGER NOT NULL, letter BLOB NOT NULL,"
      " PRIMARY KEY(parked, letter)) WITHOUT ROWID"};
  enum Statement : std::size_t { load_all, find_key, insert_key, set_died_in, delete_key, find_letter,
                                 insert_letter, delete_letter, any_letter_of, statements };
  using File = detail::sqlite::File<statements>;
  static constexpr File::Sql sql{
      "SELECT key, dead_letter_topic, died_in FROM omnibus_parked WHERE consumer = ?1 AND topic = ?2",
      "SELECT id FROM omnibus_parked WHERE consumer = ?1 AND topic = ?2 AND key = ?3",
      "INSERT INTO omnibus_parked(consumer, topic, key, dead_letter_topic, died_in)"
      " VALUES(?1, ?2, ?3, ?4, '') RETURNING id",
      "UPDATE omnibus_parked SET died_in = ?2 WHERE id = ?1",
      "DELETE FROM omnibus_parked WHERE id = ?1",
      "SELECT 1 FROM omnibus_parked_letters WHERE parked = ?1 AND letter = ?2",
      "INSERT OR IGNORE INTO omnibus_parked_letters VALUES(?1, ?2)",
      "DELETE FROM omnibus_parked_letters WHERE parked = ?1 AND letter = ?2",
      "SELECT 1 FROM omnibus_parked_letters WHERE parked = ?1 LIMIT 1"};

  Result<> carry_out(Request& request) {
    callers_.carry_out(request, [this](const Batch& batch) noexcept { serve(batch); });
    return std::move(request.result);
  }
  void serve(const Batch& batch) noexcept {
    const Result<> written =
        detail::guarded([&] { return file_.transact([&] { return all_of(batch); }); });
    if (written) return;
    for (Request* each : batch) each->result = written.error();
  }

  /// What it returns concerns the file, and with it everybody; the rest is each request's own result.
  Result<> all_of(const Batch& batch) {
    for (Request* each : batch) {
      Result<> done = each->kind == Request::Kind::load ? load_keys(*each) : change(*each);
      if (!done) return done;
    }
    return {};
  }

  Result<> load_keys(Request& request) {
    const detail::sqlite::Use all{file_[load_all]};
    all->bind(1, request.place.group).bind(2, request.place.topic);
    int code = all->step();
    for (; code == SQLITE_ROW; code = all->step()) {
      if (request.keys.size() == request.most) {
        request.result = too_many_parked(request.most);
        return {};
      }
      request.keys.push_back({std::string{all->bytes(0)}, std::string{all->bytes(1)}, std::string{all->bytes(2)}});
    }
    return ended(code);
  }

  Result<> change(Request& request) {
    std::int64_t row = 0;  // of the key
    {
      const detail::sqlite::Use find{file_[find_key]};
      const int code = bind_key(*find.operator->(), request).step();
      if (code == SQLITE_ROW) {
        row = find->number(0);
      } else if (code != SQLITE_DONE) {
        return file_.problem();
      }
    }
    switch (request.kind) {
      case Request::Kind::load: break;
      case Request::Kind::find:
        request.state.parked = row != 0;
        return has_letter(request, row);
      case Request::Kind::add: return add_letter(request, row);
      case Request::Kind::remove: return remove_letter(request, row);
    }
    return {};
  }

  Result<> add_letter(const Request& request, std::int64_t row) {
    if (row == 0) {
      const detail::sqlite::Use insert{file_[insert_key]};
      bind_key(*insert.operator->(), request).bind(4, request.letter.dead_letter_topic);
      if (insert->step() != SQLITE_ROW) return file_.problem();
      row = insert->number(0);
    }
    if (!request.letter.died_in.empty()) {
      if (Result<> set = write(set_died_in, row, request.letter.died_in); !set) return set;
    }
    return write(insert_letter, row, request.letter.id);
  }
  Result<> remove_letter(Request& request, std::int64_t row) {
    if (row == 0) return {};
    if (Result<> deleted = write(delete_letter, row, request.letter.id); !deleted) return deleted;
    {
      const detail::sqlite::Use any{file_[any_letter_of]};
      const int code = any->bind(1, row).step();
      request.state.parked = code == SQLITE_ROW;
      if (request.state.parked) return {};
      if (code != SQLITE_DONE) return file_.problem();
    }
    const detail::sqlite::Use last{file_[delete_key]};
    return ended(last->bind(1, row).step());
  }

  Result<> has_letter(Request& request, std::int64_t row) {
    const detail::sqlite::Use look{file_[find_letter]};
    const int code = look->bind(1, row).bind(2, request.letter.id).step();
    request.state.letter = code == SQLITE_ROW;
    return request.state.letter ? Result<>{} : ended(code);
  }
  Result<> write(Statement which, std::int64_t row, std::string_view name) {
    const detail::sqlite::Use change{file_[which]};
    return ended(change->bind(1, row).bind(2, name).step());
  }
  Result<> ended(int code) const {
    if (code == SQLITE_DONE) return {};
    return file_.problem();
  }
  static detail::sqlite::Statement& bind_key(detail::sqlite::Statement& statement, const Request& request) noexcept {
    return statement.bind(1, request.place.group).bind(2, request.place.topic).bind(3, request.letter.key);
  }

  detail::Combiner<Request> callers_;
  File file_;  // of the one who serves
};

}  // namespace omnibus
