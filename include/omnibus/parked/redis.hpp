// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/redis/client.hpp>
#include <omnibus/backends/redis/command.hpp>
#include <omnibus/backends/redis/errors.hpp>
#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/detail/combiner.hpp>
#include <omnibus/handler.hpp>
#include <omnibus/parked/redis_script.hpp>
#include <omnibus/parked_store.hpp>

// Parked keys on a Redis server, for the processes of many machines.

namespace omnibus {

/// Where a RedisParkedStore keeps its keys.
struct RedisParkedStoreOptions {
  /// redis://user:password@host:port/database, rediss:// for TLS, or unix://user:password@/path?db=database,
  /// percent-encoded; several servers with commas between, of which the first that answers is used.
  std::string endpoint = "redis://localhost:6379";
  /// For rediss://: what redis_tls() of <omnibus/backends/redis_tls.hpp> returns.
  std::shared_ptr<const redis::Security> tls = {};
  std::string prefix = "omnibus:parked";       ///< of the names of its keys there, in braces
  Duration timeout = std::chrono::seconds{5};  ///< of connecting, and of an answer
};

/// A ParkedStore on a Redis server of version 2.6 or later. Each operation is a script; those of callers that
/// come while others wait for the server share the next round trip. The keys of a group and topic are in one
/// slot of a cluster. Nothing expires: a letter is kept until it is handled or discarded.
/// What the server forgets is not parked any more: `health` says what a crash of it would cost, and whether
/// it would drop keys when its memory is full.
/// Thread safety: shared objects are safe, and so are several processes. Blocks: until the server has
/// answered, for twice the timeout at most, and as long again behind others.
/// Errors of every call: unavailable, when the server does not answer; access_denied; rejected, when its
/// memory is full or it is a replica; unsupported; topology_mismatch. Of `load` also: too_large. What was
/// asked without an answer may have been done; doing it again changes nothing.
/// Lifetime: it must outlive the subscriptions and tools that use it.
class RedisParkedStore final : public ParkedStore {
 public:
  /// Connects to nothing yet. Throws std::invalid_argument.
  explicit RedisParkedStore(RedisParkedStoreOptions options = {})
      : prefix_{std::move(options.prefix)},
        client_{{"RedisParkedStore", options.endpoint, options.tls, options.timeout}} {
    if (prefix_.find_first_of("{}") != std::string::npos) {
      throw std::invalid_argument{"omnibus: RedisParkedStore: prefix must have no braces"};
    }
  }
  RedisParkedStore(const RedisParkedStore&) = delete;
  RedisParkedStore& operator=(const RedisParkedStore&) = delete;

  Result<std::vector<ParkedKey>> load(const ParkedPlace& place, std::size_t most) override {
    Request request{'l', place, {}, most};
    if (Result<> done = carry_out(request); !done) return std::move(done.error());
    if (request.number < 0) return too_many_parked(most);
    return std::move(request.keys);
  }
  Result<ParkedState> find(const ParkedPlace& place, std::string_view key, std::string_view id) override {
    Request request{'f', place, {key, id, {}, {}}};
    if (Result<> done = carry_out(request); !done) return std::move(done.error());
    return ParkedState{request.number % 2 == 1, request.number >= 2};
  }
  Result<> add(const ParkedPlace& place, const ParkedLetter& letter) override {
    Request request{'a', place, letter};
    return carry_out(request);
  }
  Result<bool> remove(const ParkedPlace& place, std::string_view key, std::string_view id) override {
    Request request{'r', place, {key, id, {}, {}}};
    if (Result<> done = carry_out(request); !done) return std::move(done.error());
    return request.number == 1;
  }

  /// What went wrong last, or what the server's word is worth.
  Health health() const { return client_.health(); }

 private:
  struct Request {
    char asked;
    const ParkedPlace& place;
    ParkedLetter letter;
    std::size_t most = 0;
    std::int64_t number = 0;
    std::vector<ParkedKey> keys{};
    Result<> result{};
    bool answered = false;
  };
  using Batch = detail::Combiner<Request>::Batch;

  Result<> carry_out(Request& request) {
    callers_.carry_out(request, [this](const Batch& batch) noexcept { serve(batch); });
    return std::move(request.result);
  }

  // ── the one who serves all ─────────────────────────────────────────────────────────────────────

  void serve(const Batch& batch) noexcept {
    const bool rested = client_.is_connected();
    Result<> served = detail::guarded([&] { return exchange(batch); });
    // A connection that has rested may turn out to be dead: then there is another one.
    if (!served && rested && !all_answered(batch)) served = detail::guarded([&] { return exchange(batch); });
    if (served) return;
    client_.close();
    client_.note({false, served.error().message()});
    for (Request* each : batch) {
      if (!each->answered) each->result = served.error();
    }
  }
  static bool all_answered(const Batch& batch) noexcept {
    for (const Request* each : batch) {
      if (!each->answered) return false;
    }
    return true;
  }

  Result<> exchange(const Batch& batch) {
    if (const Result<bool> connected = client_.connect(); !connected) return connected.error();
    Answers answers{batch};
    for (Request* each : batch) {
      if (each->answered) continue;
      each->keys.clear();
      write(*each);
      answers.owed.push_back(each);
    }
    Result<> asked = client_.ask(answers);
    if (asked && answers.problem) {
      client_.try_another();
      asked = *answers.problem;
    }
    if (!asked) client_.close();
    return asked;
  }

  /// Hears the answers, in the order of the questions.
  class Answers final : public redis::Replies {
   public:
    explicit Answers(const Batch& batch) { owed.reserve(batch.size()); }

    std::vector<Request*> owed;
    std::optional<Error> problem;

    bool all() const noexcept { return next_ >= owed.size(); }

    void part(const redis::Part& part) noexcept override {
      if (all()) return;
      Request& request = *owed[next_];
      switch (part.kind) {
        case redis::Part::Kind::error:
          problem = redis::server_error(part.text, "use parked keys");
          request.result = *problem;
          break;
        case redis::Part::Kind::integer: request.number = part.number; break;
        case redis::Part::Kind::text:
          if (part.depth == 1) heard(request, part);
          break;
        default: break;
      }
    }
    void complete() noexcept override {
      if (!all()) owed[next_]->answered = true;
      ++next_;
    }

   private:
    /// Of a hash: a name, then what stands there.
    static void heard(Request& request, const redis::Part& part) noexcept {
      if (part.index % 2 == 0) {
        request.keys.push_back({std::string{part.text}, {}, {}});
        return;
      }
      std::size_t size = 0;
      const char* const end = part.text.data() + part.text.size();
      const char* const colon = std::from_chars(part.text.data(), end, size).ptr;
      const std::string_view rest{colon, static_cast<std::size_t>(end - colon)};
      if (rest.empty() || size > rest.size() - 1 || request.keys.empty()) return;  // of nobody but the script
      request.keys.back().dead_letter_topic = rest.substr(1, size);
      request.keys.back().died_in = rest.substr(1 + size);
    }

    std::size_t next_ = 0;
  };

  void write(const Request& request) {
    std::string& out = client_.out();
    const std::string place = name_of(request.place);
    const ParkedLetter& letter = request.letter;
    const bool loads = request.asked == 'l';
    redis::begin_command(out, 10);
    redis::append_argument(out, "EVAL");
    redis::append_argument(out, redis::scripts::parked_keys);
    redis::append_argument(out, 2);
    redis::append_argument(out, place);
    redis::append_argument(out, std::string{place}.append("/").append(letter.key));
    redis::append_argument(out, std::string_view{&request.asked, 1});
    redis::append_argument(out, loads ? std::string_view{redis::Digits{request.most}} : letter.key);
    redis::append_argument(out, letter.id);
    redis::append_argument(out, letter.dead_letter_topic);
    redis::append_argument(out, letter.died_in);
  }

  /// Lengths first, so that no two names are one. All of it in braces: the keys of a place are in one slot.
  std::string name_of(const ParkedPlace& place) const {
    std::string name = "{" + prefix_ + ":";
    name.append(redis::Digits{place.group.size()}).append(".").append(redis::Digits{place.topic.size()});
    return name.append(":").append(place.group).append("/").append(place.topic).append("}");
  }

  const std::string prefix_;
  detail::Combiner<Request> callers_;
  redis::Client client_;  // of the one who serves
};

}  // namespace omnibus
