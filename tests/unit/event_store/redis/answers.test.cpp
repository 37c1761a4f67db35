// SPDX-License-Identifier: MIT
#include <omnibus/event_store/redis/answers.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"

using namespace omnibus;
using namespace omnibus::event_store::redis;
using Kind = StreamState::Kind;

namespace {

Part text_part(std::string_view text) { return {Part::Kind::text, 1, 0, text, 0}; }
Part number_part(std::int64_t number) { return {Part::Kind::integer, 1, 0, {}, number}; }

Values values_of(const std::vector<Part>& parts) {
  Values values;
  for (std::size_t i = 0; i < parts.size(); ++i) values(i, parts[i]);
  return values;
}

const NewEvent events[] = {{"a", "t", "p"}, {"b", "t", "p"}, {"c", "t", "p"}};
const StreamAppend batch[] = {
    {"s-1", ExpectedVersion::none(), {events, 2}}, {"s-2", {}, {}}, {"s-3", {}, {events + 2, 1}}};

}  // namespace

TEST_CASE("redis events: positions and versions of an append follow from where each stream goes on") {
  const auto appended =
      read_appended(values_of({number_part(1), number_part(8), number_part(4), number_part(1)}), batch, nullptr);
  REQUIRE(appended);
  CHECK((*appended == Appended{Appended::State::appended, {{4, 8}, {5, 9}, {1, 10}}}));
}

TEST_CASE("redis events: what was in the way of an append says why, in the words of every store") {
  const auto refused = [](std::vector<std::string> facts, std::int64_t excluded, const AppendCondition* condition) {
    std::vector<Part> parts{number_part(0), number_part(excluded)};
    for (const std::string& each : facts) parts.push_back(text_part(each));
    return read_appended(values_of(parts), batch, condition);
  };
  const auto conflict = refused({"L 3 1 0", "", "", "", "", ""}, 0, nullptr);
  REQUIRE_FALSE(conflict);
  CHECK(conflict.error().code == Errc::conflict);
  CHECK(conflict.error().message().find("s-1 is at version 3, expected none") != std::string::npos);

  const auto given_up = refused({"", "T 0 1 0", "", "", "", ""}, 0, nullptr);
  REQUIRE_FALSE(given_up);
  CHECK(given_up.error().code == Errc::stream_deleted);

  const auto known = [](std::size_t event, const std::string& place, const std::string& stream) {
    const detail::Hash128 fingerprint = event_store::fingerprint(events[event]);
    return place + std::string{bytes_of(fingerprint)} + stream;
  };
  const auto resent = refused({"L 2 1 0", "", "L 1 1 0", known(0, "1 5 ", "s-1"), known(1, "2 6 ", "s-1"),
                               known(2, "1 7 ", "s-3")}, 0, nullptr);
  REQUIRE(resent);
  CHECK((*resent == Appended{Appended::State::already_appended, {{1, 5}, {2, 6}, {1, 7}}}));
  const auto reused = refused({"", "", "", known(0, "1 5 ", "s-9"), "", ""}, 0, nullptr);
  REQUIRE_FALSE(reused);
  CHECK(reused.error().code == Errc::id_reused);

  const AppendCondition condition{{}, 6};
  const auto excluded = refused({"", "", "", "", "", ""}, 7, &condition);
  REQUIRE_FALSE(excluded);
  CHECK(excluded.error().code == Errc::conflict);
  CHECK(excluded.error().message().find("position 7") != std::string::npos);

  CHECK(refused({"", "", "", "", "", ""}, 0, nullptr).error().code == Errc::internal);
  CHECK(refused({"?", "", "", "", "", ""}, 0, nullptr).error().code == Errc::topology_mismatch);
  CHECK(refused({"", "", "", "?", "", ""}, 0, nullptr).error().code == Errc::topology_mismatch);
}

TEST_CASE("redis events: an answer that begins again forgets what came of it before") {
  std::string stored(8, '\0');
  append_event(stored, "s-1", events[0], {});
  EventPage page;
  PageParts parts{page};
  parts(0, text_part("L 1 1 0"));
  parts(1, number_part(4));
  parts(2, text_part("damaged"));
  CHECK_FALSE(parts.whole());
  for (int turn = 0; turn < 2; ++turn) {
    parts(0, text_part("L 1 1 0"));
    parts(1, number_part(4));
    parts(2, text_part(stored));
  }
  CHECK(parts.whole());
  CHECK(parts.text == "L 1 1 0");
  REQUIRE(page.size() == 1);
  CHECK(page[0].position == 4);
  CHECK(page[0].id == "a");
  Values values = values_of({text_part("x"), text_part("y")});
  values(0, number_part(3));
  CHECK(values.number(0) == 3);
  CHECK(values.text(1).empty());
}

TEST_CASE("redis events: how far a read came") {
  const StreamState state{Kind::live, 5, 3, 0};
  const ReadRange forwards{.limit = 2}, backwards{.direction = Direction::backwards, .limit = 2};
  CHECK(read_so_far(state, forwards, 2).next == 5);
  CHECK_FALSE(read_so_far(state, forwards, 2).end);
  CHECK(read_so_far(state, forwards, 3).end);
  CHECK(read_so_far(state, backwards, 2).next == 3);
  CHECK_FALSE(read_so_far(state, backwards, 2).end);
  CHECK(read_so_far(state, backwards, 3).end);
  CHECK(read_so_far(state, {.from = 9}, 0).end);
  CHECK(read_so_far(state, {.from = 0, .direction = Direction::backwards}, 0).end);
  CHECK(read_so_far(StreamState{}, forwards, 0).next == 1);

  CHECK(read_so_far(9, forwards, 4).next == 4);
  CHECK_FALSE(read_so_far(9, forwards, 4).end);
  CHECK(read_so_far(9, forwards, 0).next == 10);
  CHECK(read_so_far(9, {.from = 20}, 0).next == 20);
  CHECK(read_so_far(9, backwards, 0).next == 0);
  CHECK(read_so_far(9, backwards, 0).end);
}
