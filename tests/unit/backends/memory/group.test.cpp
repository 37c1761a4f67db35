// SPDX-License-Identifier: MIT
#include <omnibus/backends/memory/group.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;
using memory::Group;
using memory::Log;
using memory::Member;
using memory::Record;

namespace {

/// A log with some messages, and a group over it.
struct GroupBench {
  Log log{8 << 20};
  Group group;

  explicit GroupBench(std::int32_t partitions, int messages, int keys = 1, std::uint64_t start = 0)
      : group{start, partitions} {
    for (int i = 0; i < messages; ++i) {
      log.append(message_of(std::to_string(i), "key " + std::to_string(i % keys)).view(), 0);
    }
  }
  const Record& at(std::uint64_t position) const { return *log.find(position); }
  /// Whether the member got the record.
  bool take(Member& member, std::uint64_t position, std::uint32_t* attempts = nullptr) {
    std::uint32_t ignored = 0;
    return group.take(member, at(position), attempts != nullptr ? *attempts : ignored);
  }
};

}  // namespace

TEST_CASE("a record is in the hands of one member, until it is done or released") {
  GroupBench bench{1, 3};
  Member member;
  bench.group.join(member);
  CHECK(bench.take(member, 0));
  CHECK_FALSE(bench.take(member, 0));
  bench.group.release(member, bench.at(0), 0);
  CHECK(bench.take(member, 0));
  bench.group.done(member, bench.at(0));
  CHECK_FALSE(bench.take(member, 0));
}

TEST_CASE("the watermark is the lowest position that is not done") {
  GroupBench bench{1, 4};
  Member member;
  bench.group.join(member);
  for (std::uint64_t i = 0; i < 4; ++i) CHECK(bench.take(member, i));
  bench.group.done(member, bench.at(1));
  CHECK(bench.group.watermark() == 0);
  bench.group.done(member, bench.at(0));
  CHECK(bench.group.watermark() == 2);
  CHECK(bench.group.needed() <= 2);
  bench.group.done(member, bench.at(3));
  CHECK(bench.group.watermark() == 2);
  bench.group.done(member, bench.at(2));
  CHECK(bench.group.watermark() == 4);
  bench.group.done(member, bench.at(2));  // once more says nothing
  CHECK(bench.group.watermark() == 4);
}

TEST_CASE("a group begins where it is told to") {
  GroupBench bench{1, 5, 1, 3};
  Member member;
  bench.group.join(member);
  CHECK(member.next == 3);
  CHECK_FALSE(bench.take(member, 2));
  CHECK(bench.take(member, 3));
}

TEST_CASE("a released record remembers its attempts until it is done") {
  GroupBench bench{1, 1};
  Member member;
  bench.group.join(member);
  std::uint32_t attempts = 9;
  CHECK(bench.take(member, 0, &attempts));
  CHECK(attempts == 0);
  bench.group.release(member, bench.at(0), 2);
  CHECK(bench.group.take_news());
  CHECK_FALSE(bench.group.take_news());
  CHECK(bench.take(member, 0, &attempts));
  CHECK(attempts == 2);
}

TEST_CASE("what a member held when it left counts as attempted, and another may take it") {
  GroupBench bench{1, 1};
  Member first;
  Member second;
  bench.group.join(first);
  CHECK(bench.take(first, 0));
  bench.group.join(second);
  CHECK_FALSE(bench.take(second, 0));
  bench.group.leave(first);
  std::uint32_t attempts = 0;
  CHECK(bench.take(second, 0, &attempts));
  CHECK(attempts == 1);
  bench.group.done(first, bench.at(0));  // too late: not its own any more
  CHECK(bench.group.watermark() == 0);
  bench.group.done(second, bench.at(0));
  CHECK(bench.group.watermark() == 1);
}

TEST_CASE("a partition changes hands only when nothing of it is in flight") {
  GroupBench bench{2, 40, 20};
  Member first;
  Member second;
  bench.group.join(first);
  CHECK(bench.take(first, 0));
  bench.group.join(second);
  std::set<std::int32_t> of_first;
  std::set<std::int32_t> of_second;
  for (std::int32_t partition : {0, 1}) {
    if (bench.group.may_take(first, partition)) of_first.insert(partition);
    if (bench.group.may_take(second, partition)) of_second.insert(partition);
  }
  const std::int32_t busy = bench.group.partition_of(bench.at(0));
  CHECK(of_second.count(busy) == 0);
  for (const std::int32_t partition : of_second) CHECK(of_first.count(partition) == 0);
  if (!first.to_give_up.empty()) {
    CHECK(first.to_give_up == std::vector{busy});
    CHECK_FALSE(bench.group.may_take(first, busy));
    bench.group.done(first, bench.at(0));
    CHECK(bench.group.may_take(second, busy));
    CHECK(bench.group.take_news());
  }
}

namespace {

/// Members that come, go, take, finish, release and crash at random; each reads as a consumer does.
struct Life {
  GroupBench bench;
  std::mt19937_64 random;
  std::int32_t partitions;
  std::vector<std::unique_ptr<Member>> members;
  std::map<std::uint64_t, Member*> holder;
  std::set<std::uint64_t> done;
  std::string flaw;

  Life(std::uint64_t seed, std::int32_t count, int messages)
      : bench{count, messages, 40}, random{seed}, partitions{count} {}

  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(random() % limit); }
  void expect(bool good, const char* what) {
    if (!good && flaw.empty()) flaw = what;
  }

  void read(Member& member, std::size_t most) {
    bench.group.catch_up(member);
    while (member.next < bench.log.end() && most > 0) {
      const std::uint64_t position = member.next++;
      const Record& record = bench.at(position);
      std::uint32_t attempts = 0;
      if (!bench.group.take(member, record, attempts)) continue;
      --most;
      expect(holder.count(position) == 0, "two holders");
      expect(done.count(position) == 0, "taken although done");
      const auto partition = bench.group.partition_of(record);
      for (const auto& [other, who] : holder) {
        if (bench.group.partition_of(bench.at(other)) == partition) {
          expect(who == &member, "a partition in two hands");
        }
      }
      for (std::uint64_t before = bench.group.watermark(); before < position; ++before) {
        if (bench.group.partition_of(bench.at(before)) != partition) continue;
        expect(done.count(before) == 1 || holder.count(before) == 1, "taken before its elder");
      }
      holder[position] = &member;
    }
  }

  /// Ends one of the records in someone's hands.
  void end_one(bool well) {
    if (holder.empty()) return;
    auto it = std::next(holder.begin(), static_cast<std::ptrdiff_t>(below(holder.size())));
    const std::uint64_t position = it->first;
    Member& member = *it->second;
    if (well) {
      // What is before it in its partition ends first, as lanes see to it.
      for (const auto& [other, who] : holder) {
        if (bench.group.partition_of(bench.at(other)) ==
                bench.group.partition_of(bench.at(position)) &&
            other < position) {
          return;
        }
      }
      holder.erase(it);
      done.insert(position);
      bench.group.done(member, bench.at(position));
    } else {
      holder.erase(it);
      bench.group.release(member, bench.at(position), 1);
    }
  }

  void leave(std::size_t which) {
    Member* member = members[which].get();
    bench.group.leave(*member);
    std::erase_if(holder, [member](const auto& each) { return each.second == member; });
    members.erase(members.begin() + static_cast<std::ptrdiff_t>(which));
  }

  void check() {
    std::uint64_t lowest = 0;
    while (done.count(lowest) == 1) ++lowest;
    expect(bench.group.watermark() == lowest, "the watermark is not the lowest that is not done");
    expect(bench.group.needed() <= lowest, "needed is above the watermark");
    for (std::int32_t partition = 0; partition < partitions; ++partition) {
      const auto owners = std::count_if(members.begin(), members.end(), [&](const auto& member) {
        return bench.group.may_take(*member, partition);
      });
      expect(owners <= 1, "two owners of a partition");
    }
  }

  void run(int steps) {
    for (int i = 0; i < steps && flaw.empty(); ++i) {
      const std::size_t what = below(100);
      if (what < 3 && members.size() < 5) {
        members.push_back(std::make_unique<Member>());
        bench.group.join(*members.back());
      } else if (what < 5 && !members.empty()) {
        leave(below(members.size()));
      } else if (what < 50 && !members.empty()) {
        read(*members[below(members.size())], 1 + below(10));
      } else if (what < 85) {
        end_one(true);
      } else {
        end_one(false);
      }
      check();
    }
    while (members.size() > 2) leave(0);
    while (members.size() < 2) {
      members.push_back(std::make_unique<Member>());
      bench.group.join(*members.back());
    }
    for (int i = 0; i < 100'000 && bench.group.watermark() < bench.log.end(); ++i) {
      for (const auto& member : members) read(*member, 50);
      end_one(true);
    }
    expect(bench.group.watermark() == bench.log.end(), "not everything got done");
  }
};

}  // namespace

TEST_CASE("over random lives of a group nothing has two holders, is lost, or overtakes its elder") {
  for (const std::uint64_t seed : {1u, 2u, 3u, 4u}) {
    for (const std::int32_t partitions : {1, 4, 16}) {
      Life life{seed, partitions, 150};
      life.run(800);
      CHECK(life.flaw == "");
    }
  }
}
