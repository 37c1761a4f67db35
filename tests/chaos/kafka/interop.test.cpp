// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "chaos.hpp"
#include "raw.hpp"

// Other clients beside ours: kcat, and the console programs of the Java client. What one writes the
// others read, key, value and headers, and a key is in the same partition whoever wrote it.

namespace {

using namespace chaos;

constexpr int partitions = 7;

/// One message, in the words that the programs print.
struct Line {
  int partition = 0;
  std::string key, value, headers;
  auto operator<=>(const Line&) const = default;
};

/// Text for a program to read, in a file for a while.
class Input {
 public:
  explicit Input(const std::string& text) : name_{"/tmp/omnibus-input.XXXXXX"} {
    const int fd = ::mkstemp(name_.data());
    expect(fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()),
           "cannot write ", name_);
    ::close(fd);
  }
  ~Input() { ::unlink(name_.c_str()); }
  Input(const Input&) = delete;
  const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
};

std::string run_well(const std::string& command) {
  const Ran ran = run_command(command);
  if (ran.status != 0) violated(command, ": ", ran.output);
  return ran.output;
}
std::string java(const std::string& arguments) {
  return run_well(std::string{OMNIBUS_CTL} + " exec kafka java " + arguments);
}

/// The parts of a line between tabs.
std::vector<std::string> columns(const std::string& line) {
  std::vector<std::string> parts;
  std::istringstream in{line};
  for (std::string part; std::getline(in, part, '\t');) parts.push_back(part);
  return parts;
}

struct Interop {
  Case f;
  const std::string topic = f.topic();
  const std::string endpoint = KafkaFixture::endpoint();
  Raw raw;

  explicit Interop(std::string_view name) : f{name} { raw.create_topic(topic, partitions); }

  static std::string key(int i) { return "key-" + std::to_string(i * i) + (i % 3 == 0 ? " \xC3\xA4" : ""); }
  static std::string value(int i) { return "value " + std::to_string(i); }
  static constexpr int count = 60;

  void write_by_omnibus() {
    ChaosBus bus{f.config()};
    std::vector<ob::Message> messages;
    for (int i = 0; i < count; ++i) {
      messages.push_back(message(value(i), key(i)));
      messages.back().headers.add("number", std::to_string(i)).add("from", "omnibus");
    }
    send(f, bus, topic, messages);
  }
  void write_by_kcat() {
    std::string text;
    for (int i = 0; i < count; ++i) text += key(i) + "\t" + value(i) + "\n";
    const Input input{text};
    run_well("kcat -P -b " + endpoint + " -t " + topic +
             " -K '\t' -X partitioner=murmur2_random -H number=7 -H from=kcat <" + input.name());
  }
  void write_by_java() {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text += "number:" + std::to_string(i) + ",from:java\t" + key(i) + "\t" + value(i) + "\n";
    }
    const Input input{text};
    java("kafka.tools.ConsoleProducer --bootstrap-server " + endpoint + " --topic " + topic +
         " --property parse.key=true --property parse.headers=true <" + input.name());
  }

  /// Everything in the topic, as a subscription of ours sees it.
  std::vector<Got> read_by_omnibus(std::size_t expected) {
    ChaosBus bus{f.config()};
    Inbox inbox;
    const auto subscription = bus.subscribe(topic, inbox.handler());
    inbox.wait_for(f, expected);
    drained(f, subscription);
    auto got = inbox.all();
    CHECK(got.size() == expected);
    return got;
  }
};

/// What the others read of ours: our own header stands before the user's.
void expect_ours(std::vector<Line> lines, char between) {
  REQUIRE(lines.size() == Interop::count);
  std::sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) {
    return std::tuple{a.value.size(), a.value} < std::tuple{b.value.size(), b.value};
  });
  for (int i = 0; i < Interop::count; ++i) {
    const Line& line = lines[static_cast<std::size_t>(i)];
    INFO(line.headers);
    CHECK(line.value == Interop::value(i));
    CHECK(line.key == Interop::key(i));
    CHECK(mentions(line.headers, std::string{"number"} + between + std::to_string(i)));
    CHECK(mentions(line.headers, std::string{"from"} + between + "omnibus"));
  }
}

TEST_CASE("what omnibus writes kcat and the Java client read", "[interop]") {
  Interop i{"omnibus writes"};
  i.write_by_omnibus();
  // Our header has line ends in it, which kcat prints as they are.
  std::string out = run_well("kcat -C -b " + i.endpoint + " -t " + i.topic +
                             " -o beginning -e -q -f '%p\t%k\t%s\t%h\\x01'");
  std::vector<Line> lines;
  std::istringstream all{out};
  for (std::string line; std::getline(all, line, '\x01');) {
    const auto parts = columns(line);
    if (parts.size() != 4) violated("kcat printed: ", line);
    lines.push_back({std::stoi(parts[0]), parts[1], parts[2], parts[3]});
  }
  expect_ours(lines, '=');
  const std::string java_out =
      java("org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server " + i.endpoint +
           " --topic " + i.topic + " --from-beginning --max-messages " + std::to_string(Interop::count) +
           " --timeout-ms 30000 --property print.key=true --property print.headers=true"
           " --property line.separator=$(printf '\\001') --property print.value=true");
  std::vector<Line> java_lines;
  std::istringstream java_all{java_out};
  for (std::string line; std::getline(java_all, line, '\x01');) {
    const auto from = line.find("omnibus:");
    if (from == std::string::npos) continue;
    const auto parts = columns(line.substr(from));
    if (parts.size() != 3) violated("java printed: ", line);
    java_lines.push_back({0, parts[1], parts[2], parts[0]});
  }
  expect_ours(java_lines, ':');
}

TEST_CASE("what kcat and the Java client write omnibus reads", "[interop]") {
  Interop i{"others write"};
  i.write_by_kcat();
  i.write_by_java();
  const auto got = i.read_by_omnibus(2 * Interop::count);
  std::map<std::string, int> by;
  std::map<std::string, std::size_t> next;
  for (const Got& each : got) {
    const auto number = std::stoi(each.message.payload.substr(6));
    CHECK(each.message.payload == Interop::value(number));
    CHECK(each.message.key == Interop::key(number));
    const std::string from{each.message.headers.get("from")};
    ++by[from];
    CHECK(each.message.headers.get("number") == (from == "kcat" ? "7" : std::to_string(number)));
    CHECK(each.message.headers.size() == 2);
    CHECK(each.message.type.empty());
    CHECK_FALSE(each.message.id.empty());
    CHECK(each.attempt == 1);
  }
  CHECK(by["kcat"] == Interop::count);
  CHECK(by["java"] == Interop::count);
}

TEST_CASE("a key is in the same partition whoever writes it", "[interop]") {
  Interop i{"partitions"};
  i.write_by_omnibus();
  i.write_by_kcat();
  i.write_by_java();
  std::map<std::string, std::set<std::int32_t>> where;
  std::set<std::int32_t> used;
  for (const Got& each : i.read_by_omnibus(3 * Interop::count)) {
    where[each.message.key].insert(each.partition);
    used.insert(each.partition);
  }
  CHECK(where.size() == Interop::count);
  for (const auto& [key, found] : where) {
    INFO(key);
    CHECK(found.size() == 1);
  }
  CHECK(used.size() == partitions);
}

}  // namespace
