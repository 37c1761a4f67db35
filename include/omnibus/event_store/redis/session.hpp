// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backend.hpp>
#include <omnibus/backends/redis/client.hpp>
#include <omnibus/backends/redis/command.hpp>
#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/detail/combiner.hpp>
#include <omnibus/event_store/redis/question.hpp>
#include <omnibus/event_store/redis/refusal.hpp>
#include <omnibus/event_store/redis/script.hpp>
#include <omnibus/handler.hpp>

// The connection that all callers share: what they ask at the same time goes there and back at once.

namespace omnibus::event_store::redis {

/// What becomes of a question whose answer does not come.
enum class Repeat : std::uint8_t {
  read,   ///< asked again; else nothing is known, and nothing has happened
  again,  ///< asked again, since doing it twice is doing it once; else nobody can tell whether it was done
  never,  ///< nobody can tell whether it was done
};

/// How a session finds its store.
struct SessionOptions {
  std::string key;      ///< the name of the store in braces
  std::string fresh{};  ///< what to call the history of a store that it makes; empty: it makes none
};

/// Thread safety: shared objects are safe. Blocking: until the server has answered, for twice the timeout at most,
/// and as long again behind others. Once it has seen a history it takes no other one, nor one that lost its end.
class Session {
 public:
  /// Connects to nothing yet. Throws std::invalid_argument.
  Session(const omnibus::redis::ClientOptions& client, SessionOptions options)
      : options_{std::move(options)}, client_{client} {}

  /// Asks, and has `hear(index, part)` told of the parts of the answer. Index 0 comes first, and again when the
  /// question was asked again. Errors: those of `refusal`, unavailable, outcome_unknown.
  /// `head` is where the highest position of that moment goes.
  template <class Hear>
  Result<> ask(const Question& question, Repeat repeat, Hear hear, std::uint64_t* head = nullptr) {
    Request request{question, repeat, &hear, [](void* it, std::size_t index, const omnibus::redis::Part& part) {
                      (*static_cast<Hear*>(it))(index, part);
                    }, head};
    callers_.carry_out(request, [this](const Batch& batch) noexcept { serve(batch); });
    return std::move(request.result);
  }

  /// What was seen last: the history's name and the highest position.
  std::string history() const {
    const std::lock_guard lock{mutex_};
    return known_.history;
  }
  std::uint64_t head() const {
    const std::lock_guard lock{mutex_};
    return known_.head;
  }
  /// Blocks until the highest position that was seen is above this one, or this moment has come.
  void wait_beyond(std::uint64_t position, Instant until) {
    std::unique_lock lock{mutex_};
    grown_.wait_until(lock, until, [&] { return known_.head > position; });
  }

  Health health() const { return client_.health(); }

 private:
  using Part = omnibus::redis::Part;

  struct Request {
    const Question& question;
    Repeat repeat;
    void* hearer;
    void (*hear)(void* hearer, std::size_t index, const Part& part);
    std::uint64_t* head;
    Result<> result{};
    bool written = false;  ///< and not known to be undone
    bool answered = false;
  };
  using Batch = omnibus::detail::Combiner<Request>::Batch;

  /// What the store was when it was seen last.
  struct Known {
    std::string history{};
    std::uint64_t head = 0;
    std::string last{};  ///< the id of the event there
  };

  /// Hears the answers, in the order of the questions: the history, the last position, its id, and the answer.
  class Answers final : public omnibus::redis::Replies {
   public:
    explicit Answers(Session& session) noexcept : session_{session} {}

    std::vector<std::vector<Request*>> owed;  ///< by each command; by none: it is the script's name
    bool forgotten = false;                   ///< the server does not have the script any more
    bool grown = false;
    std::optional<Error> problem;

    bool all() const noexcept { return next_ >= owed.size(); }

    void part(const Part& part) noexcept override {
      if (all()) return;
      try {
        hear(owed[next_], part);
      } catch (const std::exception& failure) {
        const bool in_doubt = current_ != nullptr && current_->repeat != Repeat::read;
        failed_ = Error::make(in_doubt ? Errc::outcome_unknown : Errc::unavailable,
                              "use " + session_.options_.key, failure.what());
      }
    }
    void complete() noexcept override {
      finish();
      ++next_;
    }

   private:
    void hear(const std::vector<Request*>& requests, const Part& part) {
      if (part.depth == 0) {
        if (part.kind == Part::Kind::error) {
          refuse(requests, part.text);
        } else if (requests.empty()) {
          session_.script_name_.assign(part.text);
        }
      } else if (part.depth == 1) {
        finish();
        if (part.index >= requests.size()) return;
        current_ = requests[part.index];
        if (part.kind == Part::Kind::error) failed_ = problem = refusal(part.text, session_.options_.key);
      } else if (current_ != nullptr && part.depth == 2) {
        switch (part.index) {
          case 0: heard_.history.assign(part.text); break;
          case 1: heard_.head = static_cast<std::uint64_t>(part.number); break;
          case 2: heard_.last.assign(part.text); break;
          default: current_->hear(current_->hearer, part.index - 3, part);
        }
      }
    }
    void refuse(const std::vector<Request*>& requests, std::string_view text) {
      const bool nothing_done = omnibus::redis::first_word(text) == "NOSCRIPT";
      if (nothing_done) {
        forgotten = true;
      } else {
        problem = refusal(text, session_.options_.key);
      }
      for (Request* each : requests) {
        each->written = false;
        if (nothing_done) continue;
        each->result = *problem;
        each->answered = true;
      }
    }
    void finish() noexcept {
      if (current_ == nullptr) return;
      current_->answered = true;
      if (failed_) {
        current_->result = std::move(*failed_);
      } else {
        learn();
      }
      failed_.reset();
      current_ = nullptr;
    }
    void learn() noexcept {
      if (current_->head != nullptr) *current_->head = heard_.head;
      const std::lock_guard lock{session_.mutex_};
      Known& known = session_.known_;
      if (heard_.head < known.head || heard_.history.empty()) return;
      grown = grown || heard_.head > known.head;
      std::swap(known, heard_);
    }

    Session& session_;
    std::size_t next_ = 0;
    Request* current_ = nullptr;
    Known heard_;
    std::optional<Error> failed_;
  };

  // ── the one who serves all ─────────────────────────────────────────────────────────────────────

  void serve(const Batch& batch) noexcept {
    const bool rested = client_.is_connected();
    Result<> served = guarded([&] { return exchange(batch); });
    // A connection that has rested may turn out to be dead: then there is another one.
    if (!served && rested && !settle(batch, served.error(), false)) {
      served = guarded([&] { return exchange(batch); });
    }
    if (served) return;
    client_.note({false, served.error().message()});
    (void)settle(batch, served.error(), true);
  }

  template <class Call>
  Result<> guarded(Call call) noexcept {
    Result<> done = omnibus::detail::guarded(call);
    if (!done) client_.close();
    return done;
  }

  /// Gives those an answer who get none: all, or those who must not ask again. Returns whether all have one.
  static bool settle(const Batch& batch, const Error& why, bool everyone) noexcept {
    bool all = true;
    for (Request* each : batch) {
      if (each->answered) continue;
      const bool in_doubt = each->written && each->repeat != Repeat::read;
      if (!everyone && !(in_doubt && each->repeat == Repeat::never)) {
        all = false;
        continue;
      }
      Error error = why;
      if (in_doubt) {
        error.code = Errc::outcome_unknown;
        error.retryable = true;
      }
      each->result = std::move(error);
      each->answered = true;
    }
    return all;
  }

  Result<> exchange(const Batch& batch) {
    const Result<bool> connected = client_.connect();
    if (!connected) return connected.error();
    if (client_.facts().replica) {
      client_.try_another();
      return refusal("READONLY", options_.key);
    }
    if (*connected) script_name_.clear();
    Answers answers{*this};
    if (script_name_.empty()) {
      omnibus::redis::append_command(client_.out(), "SCRIPT", "LOAD", script);
      answers.owed.emplace_back();
    }
    for (std::size_t first = 0; first < batch.size();) first = write(answers, batch, first);
    Result<> asked = client_.ask(answers);
    if (answers.grown) grown_.notify_all();
    if (asked && answers.forgotten) {
      asked = Error::make(Errc::unavailable, "use " + options_.key, "its script was flushed");
    }
    if (asked && answers.problem) {
      client_.try_another();
      asked = *answers.problem;
    }
    return asked;
  }

  /// Writes a command with some of the questions, from this one on. Returns the first that is not in it. The first
  /// time on a connection the script is sent whole: what the server calls it is not known yet.
  std::size_t write(Answers& answers, const Batch& batch, std::size_t first) {
    constexpr std::size_t most = 64, enough_bytes = 256 * 1024;  // so that the server has time for others
    std::vector<Request*> asked;
    std::size_t arguments = 0, bytes = 0;
    for (; first < batch.size() && asked.size() < most && bytes < enough_bytes; ++first) {
      if (batch[first]->answered) continue;
      asked.push_back(batch[first]);
      arguments += 2 + asked.back()->question.count();
      bytes += asked.back()->question.arguments().size();
    }
    if (asked.empty()) return first;
    std::string& out = client_.out();
    constexpr std::size_t before = 9;
    omnibus::redis::begin_command(out, before + arguments);
    omnibus::redis::append_argument(out, script_name_.empty() ? "EVAL" : "EVALSHA");
    omnibus::redis::append_argument(out, script_name_.empty() ? script : std::string_view{script_name_});
    omnibus::redis::append_argument(out, 1);
    omnibus::redis::append_argument(out, options_.key);
    omnibus::redis::append_argument(out, known_.history);
    omnibus::redis::append_argument(out, known_.head);
    omnibus::redis::append_argument(out, known_.last);
    omnibus::redis::append_argument(out, options_.fresh);
    omnibus::redis::append_argument(out, asked.size());
    for (Request* each : asked) {
      const char operation = each->question.operation();
      omnibus::redis::append_argument(out, std::string_view{&operation, 1});
      omnibus::redis::append_argument(out, each->question.count());
      out.append(each->question.arguments());
      each->written = true;
    }
    answers.owed.push_back(std::move(asked));
    return first;
  }

  const SessionOptions options_;
  omnibus::detail::Combiner<Request> callers_;

  omnibus::redis::Client client_;  // of the one who serves
  std::string script_name_;        // likewise: what the server calls it; empty: not known on this connection

  mutable std::mutex mutex_;
  std::condition_variable grown_;
  Known known_;  // written by the one who serves
};

}  // namespace omnibus::event_store::redis
