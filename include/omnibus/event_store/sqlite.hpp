// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <omnibus/clock.hpp>
#include <omnibus/detail/combiner.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/event_store/decide.hpp>
#include <omnibus/event_store/sqlite/reader.hpp>
#include <omnibus/event_store/sqlite/writer.hpp>
#include <omnibus/event_store/store.hpp>

// Events in a file, for the processes of one machine, without a server.

namespace omnibus {

/// An EventStore in an SQLite file with a write-ahead log; what was answered is on the disk
/// (synchronous=FULL) unless `durability` says otherwise. Those who write at the same time share a transaction,
/// and with it the wait for the disk; each is decided on its own. Transactions come one after the other, also
/// those of several processes, so that positions have no gaps and none becomes visible late.
/// What was erased is overwritten in the file; the log keeps it until it comes round.
/// Thread safety: shared objects are safe, and so are several processes. A fork must not use a store of its parent.
/// Blocking: writes until the disk has them, and now and then as long as it takes to move 4 MiB of log into the file;
/// reads never for a writer. A read that another program leaves open
/// keeps the log from beginning anew: `log_bytes` grows then.
/// Errors of every call, beside those of EventStore: unavailable, when the file is locked for too long, the disk
/// or the file's bound is full, or the disk is broken; access_denied, when it may not be written (what was written
/// can be read all the same, where the folder may be); topology_mismatch, when it is no database, of another
/// version or damaged; unsupported, when the file's place does not allow for a log. Nothing is stored then.
/// Complexity: conditions and reads by tags cost what their rarest tag is on; those by types alone look at
/// everything, or at the category.
class SqliteEventStore {
 public:
  static constexpr EventStoreCapabilities capabilities{
      .name = "sqlite", .durable = true, .shared = true, .conditions = true, .snapshots = true,
      .checkpoints = true};

  /// What effects are written with: the connection, inside the transaction.
  using Transaction = sqlite3*;
  /// What is to be written together with a checkpoint. An error undoes what it wrote, and the checkpoint stays.
  using Effect = event_store::sqlite::Writer::Effect;

  /// Opens nothing yet. Throws std::invalid_argument.
  explicit SqliteEventStore(SqliteEventStoreOptions options)
      : options_{std::move(options)}, clock_{options_.clock != nullptr ? options_.clock : &machine_} {
    const auto require = [](bool good, const char* what) {
      if (!good) throw std::invalid_argument{std::string{"omnibus: SqliteEventStore: "} + what};
    };
    require(!options_.path.empty(), "path must not be empty");
    require(options_.path.find('\0') == std::string::npos, "path must not have a zero byte");
    require(options_.busy_timeout >= Duration::zero(), "busy_timeout must not be negative");
    require(options_.look_every > Duration::zero(), "look_every must be positive");
    require(options_.limits.event.payload <= largest && options_.limits.event.headers_total <= largest &&
                options_.limits.event.key <= largest / 1024 && options_.limits.tags <= 1024,
            "limits must leave room in a row: at most 256 MiB of payload, likewise of headers, and 1024 tags");
  }
  SqliteEventStore(const SqliteEventStore&) = delete;
  SqliteEventStore& operator=(const SqliteEventStore&) = delete;

  Result<Appended> append(std::span<const StreamAppend> batch) { return append(batch, nullptr); }
  Result<Appended> append_if(std::span<const StreamAppend> batch, const AppendCondition& condition) {
    return append(batch, &condition);
  }
  Result<> truncate(std::string_view stream, std::uint64_t before) {
    Result<> answer;
    Result<> written = write([&](Writer& writer) { return writer.truncate(stream, before, answer); });
    return written ? answer : written;
  }
  Result<> soft_delete(std::string_view stream, ExpectedVersion expected) {
    return erase(stream, expected, StreamState::Kind::deleted);
  }
  Result<> tombstone(std::string_view stream, ExpectedVersion expected) {
    if (Result<> checked = event_store::check_stream_name(stream, options_.limits); !checked) return checked;
    return erase(stream, expected, StreamState::Kind::tombstoned);
  }

  Result<StreamRead> read_stream(std::string_view name, const ReadRange& range, EventPage& page) {
    page.clear();
    return read([&](Reader& reader) { return reader.read_stream(name, range, page); });
  }
  Result<StoreRead> read_category(std::string_view category, const EventQuery& query, const ReadRange& range,
                                  EventPage& page) {
    page.clear();
    return read([&](Reader& reader) { return reader.read(&category, query, range, page); });
  }
  Result<StoreRead> read_all(const EventQuery& query, const ReadRange& range, EventPage& page) {
    page.clear();
    return read([&](Reader& reader) { return reader.read(nullptr, query, range, page); });
  }
  Result<std::optional<Placed>> locate(std::string_view id) {
    return read([&](Reader& reader) { return reader.locate(id); });
  }

  /// Sees what this store appends at once, and what others append within `look_every`. While the file cannot be
  /// read, nothing is seen.
  bool wait_beyond(std::uint64_t position, Instant until) {
    std::unique_lock lock{mutex_};
    while (head_ <= position) {
      lock.unlock();
      const Result<std::int64_t> head = read([](Reader& reader) { return reader.head(); });
      lock.lock();
      if (head) head_ = detail::larger(head_, static_cast<std::uint64_t>(*head));
      const Instant now = std::chrono::steady_clock::now();
      if (head_ > position || now >= until) break;
      appended_.wait_until(lock, detail::smaller(until, after(now, options_.look_every)),
                           [&] { return head_ > position; });
    }
    return head_ > position;
  }

  Result<bool> save_snapshot(std::string_view stream, std::string_view schema, const Snapshot& snapshot) {
    if (snapshot.state.size() > largest || schema.size() > largest) {
      return Error::make(Errc::too_large, "save snapshot", "it is larger than 256 MiB");
    }
    bool kept = false;
    Result<> written =
        write([&](Writer& writer) { return writer.save_snapshot(stream, schema, snapshot, kept); });
    if (!written) return std::move(written.error());
    return kept;
  }
  Result<std::optional<Snapshot>> load_snapshot(std::string_view stream, std::string_view schema) {
    return read([&](Reader& reader) { return reader.load_snapshot(stream, schema); });
  }
  Result<> drop_snapshot(std::string_view stream, std::string_view schema) {
    return write([&](Writer& writer) { return writer.drop_snapshot(stream, schema); });
  }

  Result<Checkpoint> load_checkpoint(std::string_view follower) {
    return read([&](Reader& reader) { return reader.load_checkpoint(follower); });
  }
  Result<> save_checkpoint(std::string_view follower, const Checkpoint& previous, const Checkpoint& next) {
    return save_checkpoint(follower, previous, next, nullptr);
  }
  /// Saves a checkpoint and writes effects of yours in one transaction: both are done, or neither is. `effect` must
  /// not end the transaction nor use this store; it may run on any thread that writes, while this call blocks, and
  /// others who write wait for it. Errors: the effect's, and those of `save_checkpoint`.
  Result<> save_checkpoint_with(std::string_view follower, const Checkpoint& previous, const Checkpoint& next,
                                Effect effect) {
    return save_checkpoint(follower, previous, next, &effect);
  }

  /// Bytes of the log beside the file, as the last write of this store has left it. It is moved into the file each
  /// 4 MiB; much more means that someone reads for very long, and holds up nothing but the disk.
  std::uint64_t log_bytes() const noexcept { return log_pages_.load() * page_bytes_.load(); }

 private:
  using Reader = event_store::sqlite::Reader;
  using Writer = event_store::sqlite::Writer;

  static constexpr std::size_t largest = 256u << 20;
  static constexpr std::size_t idle_readers = 8;
  static constexpr std::uint64_t pages_a_checkpoint = 1024;

  /// What a caller wants in the transaction.
  struct Request {
    void* wish;
    Result<> (*carry_out)(void* wish, Writer& writer);
    Result<> result{};
  };
  using Batch = detail::Combiner<Request>::Batch;

  Result<Appended> append(std::span<const StreamAppend> batch, const AppendCondition* condition) {
    if (Result<> checked = event_store::check_batch(batch, options_.limits); !checked) {
      return std::move(checked.error());
    }
    Result<Appended> answer{Appended{}};
    Result<> written =
        write([&](Writer& writer) { return writer.append(batch, condition, clock_->wall(), answer); });
    if (!written) return std::move(written.error());
    return answer;
  }
  Result<> erase(std::string_view stream, ExpectedVersion expected, StreamState::Kind to) {
    Result<> answer;
    Result<> written = write([&](Writer& writer) { return writer.erase(stream, expected, to, answer); });
    return written ? answer : written;
  }

  Result<> save_checkpoint(std::string_view follower, const Checkpoint& previous, const Checkpoint& next,
                           Effect* effect) {
    Result<> answer;
    Result<> written = write(
        [&](Writer& writer) { return writer.save_checkpoint(follower, previous, next, effect, answer); });
    return written ? answer : written;
  }

  // ── writing ────────────────────────────────────────────────────────────────────────────────────

  /// Has `wish(writer)` carried out in a transaction, together with what others wish by then.
  template <class Wish>
  Result<> write(Wish wish) {
    Request request{&wish, [](void* it, Writer& writer) { return (*static_cast<Wish*>(it))(writer); }};
    callers_.carry_out(request, [this](const Batch& batch) noexcept { transact(batch); });
    move_log();
    return std::move(request.result);
  }
  void transact(const Batch& batch) noexcept {
    Result<> written = try_transact(batch);
    if (!written) {
      for (Request* each : batch) each->result = written.error();
      writer_.emplace();  // whatever is wrong, the next one begins anew
      return;
    }
    log_pages_ = writer_->log_pages();
    page_bytes_ = writer_->page_bytes();
    std::lock_guard lock{mutex_};
    if (writer_->head() <= head_) return;
    head_ = writer_->head();
    appended_.notify_all();
  }
  Result<> try_transact(const Batch& batch) noexcept {
    try {
      if (!writer_->is_open()) {
        if (Result<> opened = writer_->open(options_); !opened) return opened;
      }
      Result<> written = writer_->begin();
      for (Request* each : batch) {
        if (written) written = each->carry_out(each->wish, *writer_);
      }
      if (written) return writer_->commit();
      return written;
    } catch (const std::exception& failure) {
      return Error::make(Errc::unavailable, "use " + options_.path, failure.what());
    }
  }

  /// One caller moves what the log has gathered, once its own write is done, while others go on.
  void move_log() noexcept {
    const std::uint64_t pages = log_pages_.load();
    std::uint64_t due = checkpoint_at_.load();
    if (pages < due && pages + pages_a_checkpoint >= due) return;
    // The log has grown, or has begun anew.
    if (!checkpoint_at_.compare_exchange_strong(due, pages + pages_a_checkpoint) || pages < due) return;
    const bool start_over = pages >= 4 * pages_a_checkpoint;
    (void)read([&](Reader& reader) -> Result<> { return reader.checkpoint(start_over), Result<>{}; });
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────

  template <class Read>
  std::invoke_result_t<Read&, Reader&> read(Read with) {
    std::unique_ptr<Reader> reader;
    {
      std::lock_guard lock{readers_mutex_};
      if (!readers_.empty()) {
        reader = std::move(readers_.back());
        readers_.pop_back();
      }
    }
    if (!reader) {
      reader = std::make_unique<Reader>();
      if (Result<> opened = reader->open(options_); !opened) return std::move(opened.error());
    }
    auto answer = with(*reader);
    if (!answer) return answer;  // whatever is wrong, the next one begins anew
    std::lock_guard lock{readers_mutex_};
    if (readers_.size() < idle_readers) readers_.push_back(std::move(reader));
    return answer;
  }

  const SqliteEventStoreOptions options_;
  SystemClock machine_;
  const Clock* clock_;

  detail::Combiner<Request> callers_;
  std::optional<Writer> writer_{std::in_place};  ///< of the caller who leads
  std::atomic<std::uint64_t> log_pages_{0}, page_bytes_{0}, checkpoint_at_{pages_a_checkpoint};

  std::mutex readers_mutex_;
  std::vector<std::unique_ptr<Reader>> readers_;

  std::mutex mutex_;
  std::condition_variable appended_;
  std::uint64_t head_ = 0;  ///< the highest position that was seen
};

static_assert(ConditionalEventStore<SqliteEventStore> && SnapshotStore<SqliteEventStore> &&
              CheckpointStore<SqliteEventStore>);

}  // namespace omnibus
