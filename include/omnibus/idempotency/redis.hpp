// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/client.hpp>
#include <omnibus/backends/redis/command.hpp>
#include <omnibus/backends/redis/errors.hpp>
#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/detail/combiner.hpp>
#include <omnibus/detail/hash.hpp>
#include <omnibus/detail/smaller.hpp>
#include <omnibus/detail/uuid.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/idempotency/redis_script.hpp>
#include <omnibus/idempotency/store.hpp>

// Idempotency keys on a Redis server, for the processes of many machines.

namespace omnibus {

/// Where a RedisKeyStore keeps its keys, and for how long.
struct RedisKeyStoreOptions {
  /// redis://user:password@host:port/database, rediss:// for TLS, or unix://user:password@/path?db=database,
  /// percent-encoded; several servers with commas between, of which the first that answers is used.
  std::string endpoint = "redis://localhost:6379";
  /// For rediss://: what redis_tls() of <omnibus/backends/redis_tls.hpp> returns.
  std::shared_ptr<const redis::Security> tls = {};
  std::string prefix = "omnibus:keys";         ///< of the names of its keys there, in braces
  Duration keep = std::chrono::hours{24};      ///< how long a completed key is remembered
  std::size_t max_result = detail::usual_max_result;  ///< bytes that a completion may leave; 1 MiB at most
  Duration timeout = std::chrono::seconds{5};  ///< of connecting, and of an answer
};

/// A KeyStore on a Redis server of version 2.6 or later; its clock decides. Each key is decided by a script,
/// many in one; callers that come while others wait for the server share the next round trip.
/// What the server forgets may be done again: `health` says what a crash of it would cost, and whether it
/// would drop keys when its memory is full. A key whose lease has ended is free for any payload.
/// Thread safety: shared objects are safe, and so are several processes. Blocks: until the server has
/// answered, for twice the timeout at most, and as long again behind others.
/// Errors of every call: unavailable, when the server does not answer; access_denied; rejected, when its
/// memory is full or it is a replica; unsupported; topology_mismatch. Nothing is lost then: a claim whose
/// answer did not come is released with the next connection, or ends with its lease.
/// Lifetime: it must outlive the subscriptions that use it.
class RedisKeyStore {
 public:
  /// Connects to nothing yet. Throws std::invalid_argument.
  explicit RedisKeyStore(RedisKeyStoreOptions options = {})
      : options_{std::move(options)},
        client_{{"RedisKeyStore", options_.endpoint, options_.tls, options_.timeout}} {
    const auto require = [](bool good, const char* what) {
      if (!good) throw std::invalid_argument{std::string{"omnibus: RedisKeyStore: "} + what};
    };
    require(options_.keep > Duration::zero(), "keep must be positive");
    require(options_.max_result <= detail::most_max_result, "max_result must be at most 1 MiB");
    require(options_.prefix.find_first_of("{}") == std::string::npos, "prefix must have no braces");
  }
  RedisKeyStore(const RedisKeyStore&) = delete;
  RedisKeyStore& operator=(const RedisKeyStore&) = delete;

  Result<Claim> claim(const IdempotencyKey& key, const detail::Hash128& fingerprint, Duration lease) {
    Request request{'p', &key, milliseconds(lease)};
    request.kept = {reinterpret_cast<const char*>(&fingerprint), sizeof fingerprint};
    request.claim.lease = lease;
    if (Result<> done = carry_out(request); !done) return std::move(done.error());
    return request.claim;
  }
  Result<> complete(const IdempotencyKey& key, const Claim& claim, std::string_view result = {}) {
    if (result.size() > options_.max_result) {
      return detail::result_too_large(result.size(), options_.max_result);
    }
    Request request{'d', &key, milliseconds(options_.keep)};
    request.claim = claim;
    request.kept = result;
    return carry_out(request);
  }
  Result<> release(const IdempotencyKey& key, const Claim& claim) {
    Request request{'r', &key, 0};
    request.claim = claim;
    return carry_out(request);
  }
  std::size_t max_result() const noexcept { return options_.max_result; }

  /// What went wrong last, or what the server's word is worth.
  Health health() const { return client_.health(); }

 private:
  struct Request {
    char asked;
    const IdempotencyKey* key;
    std::int64_t ms;
    std::string_view kept{};  ///< of a claim: the fingerprint; of a completion: the result
    Claim claim{};
    Result<> result{};
    bool written = false;
    bool answered = false;
  };
  using Batch = detail::Combiner<Request>::Batch;

  /// A claim whose answer was lost.
  struct Doubt {
    std::string name;
    std::uint64_t token;
  };

  Result<> carry_out(Request& request) {
    callers_.carry_out(request, [this](const Batch& batch) noexcept { serve(batch); });
    return std::move(request.result);
  }

  // ── the one who serves all ─────────────────────────────────────────────────────────────────────

  void serve(const Batch& batch) noexcept {
    const Result<> served = detail::guarded([&] { return try_twice(batch); });
    if (served) return;
    client_.note({false, served.error().message()});
    for (Request* each : batch) {
      if (!each->answered) each->result = served.error();
    }
  }

  /// A connection that has rested may turn out to be dead: then there is another one.
  Result<> try_twice(const Batch& batch) {
    const bool rested = client_.is_connected();
    Result<> exchanged = exchange(batch);
    bool answered = true;
    for (const Request* each : batch) answered = answered && each->answered;
    return exchanged || answered || !rested ? exchanged : exchange(batch);
  }

  Result<> exchange(const Batch& batch) {
    const Result<bool> connected = client_.connect();
    if (!connected) return connected.error();
    if (*connected) script_.clear();
    Answers answers{*this, batch};
    write(answers, batch);
    if (Result<> asked = client_.ask(answers); !asked) return lose(batch, std::move(asked.error()));
    if (answers.forgotten) return lose(batch, Error::make(Errc::unavailable, "", "the script was flushed"));
    doubts_.clear();
    if (!answers.problem) return {};
    client_.try_another();
    return lose(batch, *answers.problem);
  }

  /// What was written and not answered may have been carried out.
  Result<> lose(const Batch& batch, Error why) {
    constexpr std::size_t most = 10'000;
    client_.close();
    for (Request* each : batch) {
      if (each->answered || !each->written) continue;
      if (each->asked == 'p') {
        if (doubts_.size() < most) doubts_.push_back({name_of(*each->key), each->claim.handle});
      } else if (each->asked == 'd') {
        each->asked = 'D';
      } else if (each->asked == 'r') {
        each->asked = 'R';
      }
    }
    return why;
  }

  // ── what is asked ──────────────────────────────────────────────────────────────────────────────

  /// Hears the answers, in the order of the questions.
  class Answers final : public redis::Replies {
   public:
    Answers(RedisKeyStore& store, const Batch& batch) noexcept : store_{store}, batch_{batch} {}

    /// Answers that are owed: of scripts, each with so many requests from this one on.
    struct Owed {
      std::size_t first;
      std::size_t count;
    };
    std::vector<Owed> owed;
    bool forgotten = false;  ///< the server does not have the script any more
    std::optional<Error> problem;

    bool all() const noexcept { return next_ >= owed.size(); }

    void part(const redis::Part& part) noexcept override {
      if (all()) return;
      const Owed& mine = owed[next_];
      if (part.kind == redis::Part::Kind::error) return refused(part, mine);
      if (mine.count == 0) {
        if (part.kind == redis::Part::Kind::text) store_.script_.assign(part.text);
        return;
      }
      if (part.depth == 1 && part.index < mine.count) answered(*batch_[mine.first + part.index], part);
    }
    void complete() noexcept override { ++next_; }

   private:
    void refused(const redis::Part& part, const Owed& mine) noexcept {
      if (redis::first_word(part.text) == "NOSCRIPT") {
        forgotten = true;
        return;
      }
      problem = redis::server_error(part.text, "use idempotency keys");
      for (std::size_t i = 0; i < mine.count; ++i) {
        Request& request = *batch_[mine.first + i];
        request.result = *problem;
        request.answered = true;
      }
    }

    static void answered(Request& request, const redis::Part& part) noexcept {
      request.answered = true;
      if (request.asked != 'p') {
        const bool completes = request.asked == 'd' || request.asked == 'D';
        if (part.number != 1) request.result = detail::no_longer_held(completes ? "complete" : "release");
        return;
      }
      if (part.kind == redis::Part::Kind::text) {
        request.claim.state = Claim::State::completed;
        request.claim.result = part.text;
      } else if (part.kind == redis::Part::Kind::nil) {
        request.claim.state = Claim::State::mismatch;
      } else if (part.number > 0) {
        request.claim.fence = static_cast<std::uint64_t>(part.number);
      } else {
        request.claim.state = Claim::State::in_progress;
        // 0: the lease ends in this very millisecond.
        request.claim.lease = std::chrono::milliseconds{detail::larger<std::int64_t>(-part.number, 1)};
      }
    }

    RedisKeyStore& store_;
    const Batch& batch_;
    std::size_t next_ = 0;
  };

  void write(Answers& answers, const Batch& batch) {
    constexpr std::size_t at_once = 128;  // so that the server has time for others
    std::string& out = client_.out();
    const bool loads = script_.empty();
    if (loads) redis::append_command(out, "SCRIPT", "LOAD", redis::scripts::keys);
    if (loads) answers.owed.push_back({0, 0});
    for (const Doubt& each : doubts_) {
      begin_script(out, 1);
      redis::append_argument(out, each.name);
      redis::append_argument(out, 0);
      append_asked(out, 'r', 0, each.token, {});
      answers.owed.push_back({0, 0});
    }
    for (std::size_t first = 0; first < batch.size();) {
      std::size_t end = first;
      while (end < batch.size() && end - first < at_once && !batch[end]->answered) ++end;
      if (end > first) {
        append_requests(out, batch, first, end);
        answers.owed.push_back({first, end - first});
      }
      first = detail::larger(end, first + 1);
    }
  }

  void append_requests(std::string& out, const Batch& batch, std::size_t first, std::size_t end) {
    begin_script(out, end - first);
    std::size_t claims = 0;
    for (std::size_t i = first; i < end; ++i) {
      redis::append_argument(out, name_of(*batch[i]->key));
      if (batch[i]->asked == 'p') ++claims;
    }
    redis::append_argument(out, claims);
    for (std::size_t i = first; i < end; ++i) {
      Request& each = *batch[i];
      each.written = true;
      if (each.asked == 'p') each.claim.handle = ++last_token_;
      append_asked(out, each.asked, each.ms, each.claim.handle, each.kept);
    }
  }

  /// Begins the script for so many keys, whose names and arguments follow. The first time on a connection it
  /// is sent whole: what the server calls it is not known yet.
  void begin_script(std::string& out, std::size_t names) const {
    redis::begin_command(out, 3 + 1 + names + 1 + 2 * names);
    redis::append_argument(out, script_.empty() ? "EVAL" : "EVALSHA");
    redis::append_argument(out, script_.empty() ? redis::scripts::keys : std::string_view{script_});
    redis::append_argument(out, 1 + names);
    redis::append_argument(out, "{" + options_.prefix + "}:fence");
  }
  static void append_asked(std::string& out, char asked, std::int64_t ms, std::uint64_t token,
                           std::string_view kept) {
    char bytes[1 + sizeof token]{asked};
    std::memcpy(bytes + 1, &token, sizeof token);
    redis::append_argument(out, ms);
    redis::append_argument(out, std::string_view{bytes, sizeof bytes}, kept);
  }

  // ── words and numbers ──────────────────────────────────────────────────────────────────────────

  /// Lengths first, so that no two names are one.
  std::string name_of(const IdempotencyKey& key) const {
    std::string name = "{" + options_.prefix + "}:";
    name.append(redis::Digits{key.consumer.size()}).append(".").append(redis::Digits{key.topic.size()});
    name.append(":").append(key.consumer).append("/").append(key.topic).append("/").append(key.key);
    return name;
  }

  static std::int64_t milliseconds(Duration duration) noexcept {
    return detail::larger<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(duration).count(), 1);
  }

  const RedisKeyStoreOptions options_;
  detail::Combiner<Request> callers_;

  redis::Client client_;  // of the one who serves, from here ...
  std::string script_;  // what the server calls it; empty: not known on this connection
  std::vector<Doubt> doubts_;
  std::uint64_t last_token_ = detail::entropy64();  // unlike those of other stores; ... to here
};

static_assert(KeyStore<RedisKeyStore>);

}  // namespace omnibus
