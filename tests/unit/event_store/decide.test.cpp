// SPDX-License-Identifier: MIT
#include <omnibus/event_store/decide.hpp>

#include <map>
#include <string>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::event_store;
using namespace omnibus::unit;
using Kind = StreamState::Kind;

namespace {

constexpr StreamState missing{};
constexpr StreamState live{Kind::live, 5, 1, 0};
constexpr StreamState deleted{Kind::deleted, 5, 6, 5};
constexpr StreamState tombstoned{Kind::tombstoned, 5, 6, 5};

NewEvent event_of(std::string_view id, std::string_view payload = "p") { return {id, "t", payload}; }

/// A store as `decide_append` sees it.
struct Known {
  std::map<std::string, KnownEvent, std::less<>> ids{};
  std::map<std::string, StreamState, std::less<>> streams{};
  std::optional<std::uint64_t> found{};

  std::optional<KnownEvent> find(std::string_view id) const {
    const auto at = ids.find(id);
    return at == ids.end() ? std::nullopt : std::optional{at->second};
  }
  StreamState state(std::string_view stream) const {
    const auto at = streams.find(stream);
    return at == streams.end() ? StreamState{} : at->second;
  }
  std::optional<std::uint64_t> match(const EventQuery&, std::uint64_t) const { return found; }
};

/// A stream "s" of events a, b, c at positions 11, 12, 13.
Known abc() {
  Known known;
  std::uint64_t last = 0;
  for (const char* id : {"a", "b", "c"}) {
    ++last;
    known.ids[id] = {"s", {last, 10 + last}, fingerprint(event_of(id))};
  }
  known.streams["s"] = {Kind::live, 3, 1, 0};
  return known;
}

using Decided = Result<std::optional<Appended>>;
Decided decide(const Known& known, std::vector<NewEvent> events, ExpectedVersion expected = {},
               std::string_view stream = "s", const AppendCondition* condition = nullptr) {
  const StreamAppend part{stream, expected, events};
  return decide_append({&part, 1}, condition, known);
}
bool is(const Decided& decided, Errc code) { return !decided && decided.error().code == code; }

}  // namespace

TEST_CASE("a stream is as expected, or not") {
  struct Row {
    ExpectedVersion expected;
    bool missing, live, deleted;
  };
  const Row rows[] = {
      {ExpectedVersion::any(), true, true, true},
      {ExpectedVersion::none(), true, false, true},
      {ExpectedVersion::exists(), false, true, false},
      {ExpectedVersion::exactly(0), true, false, false},
      {ExpectedVersion::exactly(4), false, false, false},
      {ExpectedVersion::exactly(5), false, true, true},
      {ExpectedVersion::exactly(6), false, false, false},
      {ExpectedVersion::exactly((std::uint64_t{1} << 32) + 5), false, false, false},
  };
  for (const Row& row : rows) {
    CHECK(is_as_expected(missing, row.expected) == row.missing);
    CHECK(is_as_expected(live, row.expected) == row.live);
    CHECK(is_as_expected(deleted, row.expected) == row.deleted);
  }
}

TEST_CASE("words say how a stream is and what was expected") {
  CHECK(difference("s", live, ExpectedVersion::exactly(3)) == "s is at version 5, expected version 3");
  CHECK(difference("s", live, ExpectedVersion::none()) == "s is at version 5, expected none");
  CHECK(difference("s", missing, ExpectedVersion::exists()) == "s does not exist, expected to exist");
  CHECK(difference("s", deleted, ExpectedVersion::exists()) == "s was deleted at version 5, expected to exist");
  CHECK(difference("s", tombstoned, ExpectedVersion::any()) == "s was given up for ever");
}

TEST_CASE("a fingerprint is of type, payload and tags, each on its own") {
  const std::string_view tags[] = {"x", "y"};
  const std::string_view others[] = {"xy"};
  const NewEvent events[] = {
      {"1", "t", "p"},       {"1", "tp", ""},      {"1", "", "tp"},     {"1", "p", "t"}, {"1", "a", "a"},
      {"1", "b", "b"},       {"1", "t", "p", tags}, {"1", "t", "p", {tags, 1}}, {"1", "t", "p", {tags + 1, 1}},
      {"1", "t", "p", others}, {"1", "t", ""},
  };
  for (const NewEvent& a : events) {
    for (const NewEvent& b : events) CHECK((fingerprint(a) == fingerprint(b)) == (&a == &b));
  }
  const Headers trace{{"trace", "1"}};
  CHECK(fingerprint({"2", "t", "p", {}, trace, Time{1s}}) == fingerprint({"1", "t", "p"}));
}

TEST_CASE("fingerprints stay as they are, since stores keep them") {
  const std::string_view tags[] = {"x", "y"};
  const detail::Hash128 plain = fingerprint({"1", "order.placed", "payload"});
  const detail::Hash128 tagged = fingerprint({"1", "order.placed", "payload", tags});
  CHECK(plain == detail::Hash128{0x36ccb7e615d2902e, 0x46261ae66b96e1e6});
  CHECK(tagged == detail::Hash128{0x9b4f0387cc8bdcf0, 0x535df0dd5a4b4b2c});
}

TEST_CASE("a batch that is stored is a resend, whatever it expects; of others nothing is stored again") {
  const Known known = abc();
  const auto resend = [&](std::vector<NewEvent> events, std::vector<Placed> places) {
    for (const ExpectedVersion expected : {ExpectedVersion::any(), ExpectedVersion::none(), ExpectedVersion::exists(),
                                           ExpectedVersion::exactly(0), ExpectedVersion::exactly(9)}) {
      const Decided decided = decide(known, events, expected);
      REQUIRE(decided);
      REQUIRE(decided->has_value());
      CHECK(**decided == Appended{Appended::State::already_appended, places});
    }
  };
  resend({event_of("a")}, {{1, 11}});
  resend({event_of("b"), event_of("c")}, {{2, 12}, {3, 13}});
  CHECK(is(decide(known, {event_of("a"), event_of("c")}), Errc::id_reused));
  CHECK(is(decide(known, {event_of("b"), event_of("a")}), Errc::id_reused));
  CHECK(is(decide(known, {event_of("c"), event_of("d")}), Errc::id_reused));
  CHECK(is(decide(known, {event_of("d"), event_of("a")}), Errc::id_reused));
  CHECK(is(decide(known, {event_of("a"), event_of("a")}), Errc::id_reused));
  CHECK(is(decide(known, {event_of("d"), event_of("d")}), Errc::id_reused));
  CHECK(is(decide(known, {event_of("a", "other")}), Errc::id_reused));
  CHECK(is(decide(known, {event_of("a")}, {}, "another"), Errc::id_reused));
}

TEST_CASE("a new batch is stored when all streams are as expected and the condition holds") {
  Known known = abc();
  const auto stores = [](const Decided& decided) { return decided && !decided->has_value(); };
  CHECK(stores(decide(known, {event_of("d")})));
  CHECK(stores(decide(known, {event_of("d")}, ExpectedVersion::exactly(3))));
  CHECK(is(decide(known, {event_of("d")}, ExpectedVersion::exactly(2)), Errc::conflict));
  CHECK(is(decide(known, {}, ExpectedVersion::exactly(2)), Errc::conflict));
  CHECK(stores(decide(known, {}, ExpectedVersion::exactly(3))));

  const AppendCondition condition;
  CHECK(stores(decide(known, {event_of("d")}, {}, "s", &condition)));
  known.found = 13;
  CHECK(is(decide(known, {event_of("d")}, {}, "s", &condition), Errc::conflict));
  CHECK(decide(known, {event_of("a")}, {}, "s", &condition)->has_value());  // a resend is one all the same

  known.streams["s"] = tombstoned;
  CHECK(is(decide(known, {event_of("d")}), Errc::stream_deleted));
  CHECK(decide(known, {event_of("a")})->has_value());
}

TEST_CASE("every stream that is not as expected is named") {
  Known known = abc();
  known.streams["gone"] = tombstoned;
  const StreamAppend batch[] = {{"s", ExpectedVersion::none()}, {"ok"}, {"x", ExpectedVersion::exists()}};
  const Decided decided = decide_append(batch, nullptr, known);
  REQUIRE(is(decided, Errc::conflict));
  CHECK(decided.error().context == "s is at version 3, expected none; x does not exist, expected to exist");
  const StreamAppend given_up[] = {{"s", ExpectedVersion::none()}, {"gone"}};
  CHECK(is(decide_append(given_up, nullptr, known), Errc::stream_deleted));
}

TEST_CASE("a batch is checked before anything is looked up") {
  const Limits limits{.event = {.payload = 10, .key = 8}, .tags = 2, .batch = 3};
  const auto check = [&limits](std::vector<NewEvent> events, std::string_view stream = "s") {
    const StreamAppend part{stream, {}, events};
    return check_batch({&part, 1}, limits);
  };
  const auto is_refused = [](const Result<>& checked, Errc code) { return !checked && checked.error().code == code; };
  const std::string_view tags[] = {"a", "b", ""};
  const std::string_view long_tag[] = {"123456789"};
  CHECK(check({event_of("a"), event_of("b"), event_of("c")}));
  CHECK(check({{"a", "t", "1234567890", {tags, 2}}}, "12345678"));
  CHECK(check({event_of("a")}, "\xff \xc3\xa9"));
  CHECK(is_refused(check({event_of("a")}, ""), Errc::invalid_argument));
  CHECK(is_refused(check({event_of("a")}, "a\nb"), Errc::invalid_argument));
  CHECK(is_refused(check({event_of("a")}, "a\0b"sv), Errc::invalid_argument));
  CHECK(is_refused(check({event_of("a")}, "a\x7f"), Errc::invalid_argument));
  CHECK(is_refused(check({event_of("a")}, "123456789"), Errc::too_large));
  CHECK(is_refused(check({event_of("")}), Errc::invalid_argument));
  CHECK(is_refused(check({event_of("123456789")}), Errc::too_large));
  CHECK(is_refused(check({event_of("a", "12345678901")}), Errc::too_large));
  CHECK(is_refused(check({{"a", "123456789", ""}}), Errc::too_large));
  CHECK(is_refused(check({{"a", "t", "", tags}}), Errc::too_large));
  CHECK(is_refused(check({{"a", "t", "", {tags + 2, 1}}}), Errc::invalid_argument));
  CHECK(is_refused(check({{"a", "t", "", long_tag}}), Errc::too_large));
  CHECK(is_refused(check({event_of("a"), event_of("b"), event_of("c"), event_of("d")}), Errc::too_large));
  const StreamAppend twice[] = {{"s"}, {"x"}, {"s"}};
  CHECK(is_refused(check_batch(twice, limits), Errc::invalid_argument));
}

TEST_CASE("a truncation goes forwards and never beyond the end") {
  const auto first = [](std::uint64_t before) { return decide_truncate("s", live, before).value(); };
  CHECK(first(3)->first == 3);
  CHECK(first(3)->version == 5);
  CHECK(first(3)->kind == Kind::live);
  CHECK(first(6)->first == 6);
  CHECK(first(UINT64_MAX)->first == 6);
  CHECK_FALSE(first(1));
  CHECK_FALSE(first(0));
  CHECK_FALSE(decide_truncate("s", {Kind::live, 5, 4, 0}, 3).value());
  CHECK_FALSE(decide_truncate("s", deleted, 6).value());
  CHECK(decide_truncate("s", missing, 1).error().code == Errc::not_found);
  CHECK(decide_truncate("s", tombstoned, 1).error().code == Errc::stream_deleted);
}

TEST_CASE("a stream is deleted, or given up for ever, when it is as expected") {
  const auto any = ExpectedVersion::any(), four = ExpectedVersion::exactly(4), five = ExpectedVersion::exactly(5);
  CHECK(*decide_delete("s", live, any, Kind::deleted).value() == deleted);
  CHECK(*decide_delete("s", live, five, Kind::tombstoned).value() == tombstoned);
  CHECK(*decide_delete("s", deleted, any, Kind::tombstoned).value() == tombstoned);
  CHECK(decide_delete("s", missing, any, Kind::tombstoned).value()->kind == Kind::tombstoned);
  CHECK_FALSE(decide_delete("s", deleted, any, Kind::deleted).value());
  CHECK_FALSE(decide_delete("s", tombstoned, any, Kind::tombstoned).value());
  CHECK(decide_delete("s", live, four, Kind::deleted).error().code == Errc::conflict);
  CHECK(decide_delete("s", live, four, Kind::tombstoned).error().code == Errc::conflict);
  CHECK(decide_delete("s", missing, any, Kind::deleted).error().code == Errc::not_found);
  CHECK(decide_delete("s", tombstoned, any, Kind::deleted).error().code == Errc::stream_deleted);
}

TEST_CASE("a snapshot counts when it is of this stream and all events behind it are there") {
  const StreamState stream{Kind::live, 9, 6, 3};
  for (std::uint64_t last = 0; last < 12; ++last) {
    CHECK(is_usable_snapshot(stream, last) == (last >= 5 && last <= 9));
  }
  CHECK_FALSE(is_usable_snapshot({Kind::live, 5, 4, 3}, 3));  // of what was deleted
  CHECK_FALSE(is_usable_snapshot(deleted, 5));
  CHECK_FALSE(is_usable_snapshot(missing, 0));
}
