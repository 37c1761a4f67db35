// SPDX-License-Identifier: MIT
// What a Redis server says, and whoever stands between.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/backends/redis/command.hpp>
#include <omnibus/backends/redis/errors.hpp>
#include <omnibus/backends/redis/gatherer.hpp>
#include <omnibus/backends/redis/log_cursor.hpp>
#include <omnibus/backends/redis/pushes.hpp>
#include <omnibus/backends/redis/reader.hpp>
#include <omnibus/backends/redis/server.hpp>
#include <omnibus/backends/redis/stream_id.hpp>
#include <omnibus/backends/redis/unfinished.hpp>

#include "fuzz.hpp"

namespace {

using namespace omnibus;
using namespace omnibus::redis;
using fuzz::require;

constexpr std::size_t largest_entry = 64;

/// Writes down what it is told.
class Protocol final : public Replies {
 public:
  explicit Protocol(std::string_view stream) : stream_{stream} {}

  std::string told;
  std::size_t longest = 0;

  void part(const Part& part) noexcept override {
    require(part.depth >= 0 && part.depth < 16, "replies nest a few levels deep");
    require(stream_.find(part.text) != std::string_view::npos, "a text is what has come in");
    longest = std::max(longest, part.text.size());
    told.append(std::to_string(static_cast<int>(part.kind))).append(std::to_string(part.depth)).append(".");
    told.append(std::to_string(part.index)).append(":").append(std::to_string(part.number)).append(part.text);
  }
  void complete() noexcept override { told.append("|"); }

 private:
  const std::string_view stream_;
};

/// Feeds the stream in pieces. Returns how it ended.
Reader::Got read(std::string_view stream, std::size_t step, std::size_t largest, Replies& replies) {
  Reader reader{largest};
  for (std::size_t at = 0; at < stream.size(); at += step) {
    const std::string_view piece = stream.substr(at, step);
    require(reader.feed(piece.data(), piece.size()), "there is memory");
    Reader::Got got{};
    while ((got = reader.next(replies)) == Reader::Got::whole) {
    }
    if (got == Reader::Got::malformed) {
      require(reader.next(replies) == Reader::Got::malformed, "what is malformed stays so");
    }
    if (got != Reader::Got::nothing) return got;
  }
  return Reader::Got::nothing;
}

/// Everybody who listens to parts of replies, whatever they are about.
class Everybody final : public Replies, Arrivals, PushEvents {
 public:
  void part(const Part& part) noexcept override {
    streams_.streams_part(part, 0);
    entries_.entry_part(part, 1);
    pushes_.part(part);
    unfinished_.group_part(part);
    unfinished_.pending_part(part);
    if (part.kind == Part::Kind::integer) {
      cursor_.info(part.index, part.number);
    } else {
      cursor_.info(part.index, part.text);
    }
    if (part.kind == Part::Kind::error) {
      const std::string message = server_error(part.text, "ask").message();
      require(message.size() < 400, "errors are short");
      require(std::none_of(message.begin(), message.end(), [](unsigned char c) { return c < 0x20; }),
              "errors have no control characters");
    }
    Position id;
    if (parse_id(part.text, id)) {
      require(part.text.find('-') != std::string_view::npos, "an id has two parts");
      Position again;
      require(parse_id(IdText{id}, again) && again == id, "an id is read as it is written");
      require(id == Position{} || id_before(id) < id, "what comes before an id is less");
    }
    (void)durability_warning(read_facts(part.text, part.text));
  }
  void complete() noexcept override {
    (void)cursor_.begin();
    (void)unfinished_.more();
  }
  void end() {
    for (Gatherer* each : {&streams_, &entries_}) {
      if (const auto left = each->abandon()) require(left->first < 2, "what was begun is of a shard");
    }
    require(held_ == 0, "every message was given back");
  }

 private:
  std::int64_t shard_of(std::string_view stream) const noexcept override { return stream == "s" ? 0 : -1; }
  void arrived(Held& held) override {
    ++held_;
    require(held.shard < 2, "a message is of a shard");
    require(held.attempts <= 1'000'000, "attempts are bounded");
    require(held.entry.size() <= largest_entry + 44 + 8, "an entry is not larger than may be");
    fuzz::walk(held.entry.message());
    pool_.give_back(held);
    --held_;
  }
  void gone(std::size_t shard, Position) override { require(shard < 2, "what is gone is of a shard"); }
  void too_large(std::size_t shard, Position) override { require(shard < 2, "what is large is of a shard"); }
  void subscribed() override {}
  void arrived(std::string_view channel, std::string_view bytes) override {
    volatile std::size_t sum = fuzz::walk(channel) + fuzz::walk(bytes);
    (void)sum;
  }
  void refused(const Error& problem) override { require(!problem.operation.empty(), "a refusal says of what"); }

  HeldPool pool_;
  int held_ = 0;
  Gatherer streams_{pool_, *this, {.payload = "p", .key = "k"}, largest_entry};
  Gatherer entries_{pool_, *this, {}, largest_entry};
  PushReader pushes_{*this};
  Unfinished unfinished_{"g"};
  LogCursor cursor_{Start{}, 0};
};

/// A command is an array of texts, which we can read ourselves.
void commands_are_read_as_they_are_written(std::string_view bytes) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at <= bytes.size() && words.size() < 16;) {
    const std::size_t end = std::min(bytes.find(' ', at), bytes.size());
    words.emplace_back(bytes.substr(at, end - at));
    at = end + 1;
  }
  std::string out;
  begin_command(out, words.size());
  for (const std::string& word : words) append_argument(out, word);
  struct Words final : Replies {
    std::vector<std::string> read;
    int whole = 0;
    void part(const Part& part) noexcept override {
      if (part.depth == 1) read.emplace_back(part.text);
    }
    void complete() noexcept override { ++whole; }
  } replies;
  require(read(out, Reader::most_at_once, out.size(), replies) == Reader::Got::nothing, "a command is well-formed");
  require(replies.whole == 1 && replies.read == words, "a command is read as it is written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input{data, size};
  const std::size_t step = 1 + input.byte() % 16;
  const std::string_view stream = input.rest();

  Protocol at_once{stream}, in_pieces{stream};
  const auto how = read(stream, Reader::most_at_once, stream.size(), at_once);
  require(read(stream, step, stream.size(), in_pieces) == how, "replies end alike, however they come in");
  require(at_once.told == in_pieces.told, "replies are the same, however they come in");

  constexpr std::size_t largest = 32;
  Protocol bounded{stream};
  (void)read(stream, 1, largest, bounded);
  require(bounded.longest <= largest, "no value is longer than may be");

  Everybody everybody;
  (void)read(stream, step, 1024, everybody);
  everybody.end();
  commands_are_read_as_they_are_written(stream);
  return 0;
}
