// SPDX-License-Identifier: MIT
#include <omnibus/event_store/redis/record.hpp>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"

using namespace omnibus;
using namespace omnibus::event_store::redis;
using Kind = StreamState::Kind;

namespace {

/// As the script stores it.
std::string stored(std::uint64_t version, std::string_view stream, const NewEvent& event, Time time) {
  std::string bytes(sizeof version, '\0');
  std::memcpy(bytes.data(), &version, sizeof version);
  append_event(bytes, stream, event, time);
  return bytes;
}

}  // namespace

TEST_CASE("redis events: an event comes back as it was, and one that is cut is noticed") {
  const std::string bytes("\0\xff\r\n", 4);
  const std::string_view tags[] = {"x", bytes};
  const Headers metadata{{"trace", bytes}};
  const Time moment{std::chrono::microseconds{1'700'000'000'123'456}};
  const std::string text = stored(300, "s-1", {bytes, "type", bytes, tags, metadata, {}}, moment);
  std::vector<std::string_view> room;
  StoredEvent event;
  REQUIRE(view_event(text, room, event));
  CHECK(event.version == 300);
  CHECK(event.stream == "s-1");
  CHECK(event.id == bytes);
  CHECK(event.type == "type");
  CHECK(event.payload == bytes);
  REQUIRE(event.tags.size() == 2);
  CHECK(event.tags[1] == bytes);
  CHECK(event.metadata.block() == metadata.view().block());
  CHECK(event.time == moment);
  for (std::size_t size = 0; size < text.size() - bytes.size(); ++size) {
    CHECK_FALSE(view_event(std::string_view{text}.substr(0, size), room, event));
  }
}

TEST_CASE("redis events: where the script looks for type and stream, they stand") {
  const std::string text = stored(1, "s-1", {"id", "type", "p"}, {});
  CHECK(text.substr(36, 4) == "type");  // the script counts from 1
  CHECK(text.substr(40, 3) == "s-1");
}

TEST_CASE("redis events: the state of a stream is a text, and back") {
  const StreamState states[] = {{}, {Kind::live, 4, 3, 2}, {Kind::deleted, 9, 10, 9}, {Kind::tombstoned, 0, 1, 0}};
  for (const StreamState& state : states) {
    CHECK(read_state(state_text(state)) == state);
  }
  CHECK(state_text({Kind::live, 4, 3, 2}) == "L 4 3 2");
  CHECK(state_text({}).empty());
  for (const char* damaged : {"L", "L 1 2", "L 1 2 3 4", "X 1 2 3", "L1 2 3", "L a 2 3", "L 1 2 3 "}) {
    CHECK_FALSE(read_state(damaged));
  }
}

TEST_CASE("redis events: what is known of an id, checkpoints and snapshots are read, or found damaged") {
  const detail::Hash128 fingerprint{1, 2};
  const std::string known = "3 17 " + std::string{bytes_of(fingerprint)} + "s-1";
  const auto found = view_known(known);
  REQUIRE(found);
  CHECK(found->placed == Placed{3, 17});
  CHECK(found->fingerprint == fingerprint);
  CHECK(found->stream == "s-1");
  CHECK_FALSE(view_known("3 17 short"));
  CHECK_FALSE(view_known("x 17 0123456789abcdef"));

  CHECK(read_checkpoint("") == Checkpoint{});
  CHECK(read_checkpoint(checkpoint_text({7, "id of 7"})) == Checkpoint{7, "id of 7"});
  CHECK(checkpoint_text({}) == "0 ");
  CHECK(read_checkpoint("0 ") == Checkpoint{});
  CHECK_FALSE(read_checkpoint("7"));

  const auto snapshot = read_snapshot("4 state 4");
  REQUIRE(snapshot);
  CHECK(snapshot->version == 4);
  CHECK(snapshot->state == "state 4");
  CHECK_FALSE(read_snapshot("state"));
}
