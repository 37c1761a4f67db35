// SPDX-License-Identifier: MIT
#include <omnibus/backends/kafka/settings.hpp>

#include <stdlib.h>

#include <cstdio>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "unit/backends/kafka/tools.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::kafka;
using namespace omnibus::unit;

namespace {

using Properties = std::map<std::string, std::string>;

/// The text of librdkafka's own table of properties.
std::string table_of_properties() {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* file = ::open_memstream(&text, &size);
  rd_kafka_conf_properties_show(file);
  std::fclose(file);
  std::string table{text, size};
  std::free(text);
  return table;
}

/// Every alias of librdkafka's, and what it stands for.
std::vector<std::pair<std::string, std::string>> aliases() {
  std::vector<std::pair<std::string, std::string>> found;
  std::istringstream table{table_of_properties()};
  for (std::string line; std::getline(table, line);) {
    const std::size_t at = line.find("Alias for `");
    if (at == std::string::npos) continue;
    const std::size_t begin = at + std::string_view{"Alias for `"}.size();
    found.emplace_back(line.substr(0, line.find(' ')),
                       line.substr(begin, line.find('`', begin) - begin));
  }
  return found;
}

/// What is thrown when these properties are added to a configuration that has the others.
std::string refusal(const Properties& set,
                    const Properties& properties) {
  ConfBuilder conf;
  for (const auto& [name, value] : set) conf.set(name, value);
  try {
    conf.add(properties);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct Row {
  std::string name, value;
};

void check_properties(const Settings& settings, const std::vector<Row>& rows) {
  ConfBuilder conf;
  conf.add(settings);
  for (const Row& row : rows) {
    CAPTURE(row.name);
    CHECK(property(conf.get(), row.name) == row.value);
  }
}

}  // namespace

TEST_CASE("kafka: what every client is told") {
  check_properties({"a:1,b:2", {}, {}, {}}, {{"bootstrap.servers", "a:1,b:2"},
                                             {"socket.nagle.disable", "true"},
                                             {"reconnect.backoff.max.ms", "1000"},
                                             {"socket.timeout.ms", "10000"},
                                             {"socket.connection.setup.timeout.ms", "10000"},
                                             {"security.protocol", "plaintext"},
                                             {"sasl.username", "?"},
                                             {"sasl.password", "?"}});
}

TEST_CASE("kafka: how long an answer may take is the user's to say") {
  const Settings settings{"a", {}, {}, {{"socket.timeout.ms", "60000"}}};
  ConfBuilder conf;
  conf.add(settings).add(settings.properties);
  CHECK(property(conf.get(), "socket.timeout.ms") == "60000");
}

TEST_CASE("kafka: SASL fields become properties") {
  Settings settings{"a", {"SCRAM-SHA-512", "ann", "top secret"}, {}, {}};
  check_properties(settings, {{"security.protocol", "sasl_plaintext"},
                              {"sasl.mechanism", "SCRAM-SHA-512"},
                              {"sasl.username", "ann"},
                              {"sasl.password", "top secret"}});
  settings.tls.on = true;
  check_properties(settings, {{"security.protocol", "sasl_ssl"}, {"sasl.username", "ann"}});
}

TEST_CASE("kafka: TLS fields become properties, and the host's name is checked") {
  const Settings settings{"a", {}, {true, "ca.pem", "cert.pem", "key.pem", "hidden"}, {}};
  check_properties(settings, {{"security.protocol", "ssl"},
                              {"ssl.ca.location", "ca.pem"},
                              {"ssl.certificate.location", "cert.pem"},
                              {"ssl.key.location", "key.pem"},
                              {"ssl.key.password", "hidden"},
                              {"ssl.endpoint.identification.algorithm", "https"},
                              {"enable.ssl.certificate.verification", "true"}});
  check_properties({"a", {}, {true, {}, {}, {}, {}}, {}},
                   {{"security.protocol", "ssl"}, {"ssl.ca.location", "?"}});
}

TEST_CASE("kafka: what else librdkafka knows can be set") {
  ConfBuilder conf;
  conf.set("acks", "all").add(Properties{{"client.id", "me"}, {"fetch.wait.max.ms", "7"}});
  CHECK(property(conf.get(), "client.id") == "me");
  CHECK(property(conf.get(), "fetch.wait.max.ms") == "7");
}

TEST_CASE("kafka: durations are milliseconds") {
  ConfBuilder conf;
  conf.set("session.timeout.ms", 45s).set("fetch.wait.max.ms", 1'999'999ns);
  CHECK(property(conf.get(), "session.timeout.ms") == "45000");
  CHECK(property(conf.get(), "fetch.wait.max.ms") == "1");
}

TEST_CASE("kafka: a default gives way to the user's") {
  const Properties theirs{{"client.id", "theirs"}};
  ConfBuilder conf;
  conf.set_default(theirs, "client.id", "ours").set_default(theirs, "client.rack", "ours").add(theirs);
  CHECK(property(conf.get(), "client.id") == "theirs");
  CHECK(property(conf.get(), "client.rack") == "ours");
}

TEST_CASE("kafka: what is empty is not set") {
  ConfBuilder conf;
  conf.set_if("client.id", "");
  CHECK(property(conf.get(), "client.id") == "rdkafka");
  CHECK_NOTHROW(conf.add(Properties{{"client.id", "me"}}));
}

TEST_CASE("kafka: a property that librdkafka does not know is an error that names it") {
  const std::string text = refusal({}, {{"no.such.thing", "hidden"}});
  CHECK(text == "omnibus: kafka: librdkafka knows no property \"no.such.thing\"");
}

TEST_CASE("kafka: a value that librdkafka does not take is an error that names the property") {
  for (const auto& [name, value] : {std::pair{"acks", "many"},
                                    {"fetch.wait.max.ms", "soon"},
                                    {"fetch.wait.max.ms", "-5"},
                                    {"isolation.level", "none"},
                                    {"enable.partition.eof", "maybe"}}) {
    CAPTURE(name);
    const std::string text = refusal({}, {{name, value}});
    CHECK(has(text, "omnibus: kafka: property \"" + std::string{name} + "\": "));
    CHECK(text.size() > 60);  // and what is wrong
  }
}

TEST_CASE("kafka: what omnibus sets, a property does not change") {
  CHECK(has(refusal({{"acks", "all"}}, {{"acks", "1"}}), "\"acks\""));
  CHECK(refusal({{"acks", "all"}}, {{"client.id", "me"}}) == "");
  ConfBuilder conf;
  conf.leave("transactional.id");
  CHECK_THROWS_AS(conf.add(Properties{{"transactional.id", "t"}}), std::invalid_argument);
}

TEST_CASE("kafka: what omnibus sets, a property by another name does not change either") {
  const auto all = aliases();
  REQUIRE(all.size() >= 10);
  for (const auto& [alias, meant] : all) {
    if (meant == "auto.commit.enable") continue;  // its alias is a property of its own as well
    CAPTURE(alias, meant);
    const std::string value = property(ConfBuilder{}.set("acks", "all").get(), meant);
    const std::string any = value == "?" ? "1" : value;
    CHECK(has(refusal({{alias, any}}, {{meant, any}}), "\"" + meant + "\""));
    CHECK(has(refusal({{meant, any}}, {{alias, any}}), "\"" + alias + "\""));
    // And neither does one that is there under both of its names.
    CHECK(has(refusal({}, {{meant, any}, {alias, any}}), "twice"));
  }
  CHECK(has(refusal({{"enable.auto.commit", "false"}}, {{"auto.commit.enable", "true"}}), "auto"));
}

TEST_CASE("kafka: where brokers are, is the endpoint's matter alone") {
  ConfBuilder with, without;
  with.add(Settings{"a:1", {}, {}, {}});
  without.add(Settings{});
  for (const char* name : {"bootstrap.servers", "metadata.broker.list"}) {
    CHECK_THROWS_AS(with.add(Properties{{name, "b:2"}}), std::invalid_argument);
    CHECK_THROWS_AS(without.add(Properties{{name, "b:2"}}), std::invalid_argument);
  }
}

TEST_CASE("kafka: settings that contradict each other are an error that names them") {
  struct Case {
    Properties properties;
    std::string_view part;
  };
  const Case cases[] = {
      {{{"enable.idempotence", "true"}, {"acks", "1"}}, "acks"},
      {{{"enable.idempotence", "true"}, {"max.in.flight", "6"}}, "max.in.flight"},
      {{{"enable.idempotence", "true"}, {"queuing.strategy", "lifo"}}, "queuing.strategy"},
      {{{"security.protocol", "sasl_plaintext"}, {"sasl.mechanism", "NONE"}}, "NONE"},
      {{{"security.protocol", "ssl"}, {"ssl.ca.location", "/no/such/file"}}, "ssl.ca.location"},
  };
  for (const Case& each : cases) {
    CAPTURE(each.part);
    ConfBuilder conf;
    conf.add(each.properties).quiet();
    CHECK(throws_saying<std::invalid_argument>([&] { conf.make(RD_KAFKA_PRODUCER, {}); }, each.part));
    CHECK(throws_saying<std::invalid_argument>([&] { conf.make(RD_KAFKA_PRODUCER, {}); }, "omnibus"));
  }
}

TEST_CASE("kafka: an error that librdkafka words shows no secret") {
  ConfBuilder conf;
  conf.add(Properties{{"security.protocol", "sasl_ssl"}, {"sasl.mechanism", "hunter2"}}).quiet();
  try {
    (void)conf.make(RD_KAFKA_PRODUCER, {"hunter2"});
    FAIL("it was made");
  } catch (const std::invalid_argument& error) {
    CAPTURE(error.what());
    CHECK_FALSE(has(error.what(), "hunter2"));
    CHECK(has(error.what(), "***"));
  }
}

TEST_CASE("kafka: every property that librdkafka keeps a secret in is one for us") {
  for (const std::string_view name :
       {"sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem",
        "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config",
        // of later versions
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem"}) {
    CAPTURE(name);
    CHECK(is_secret(name));
  }
}

TEST_CASE("kafka: whatever librdkafka describes as a secret is one for us") {
  std::istringstream table{table_of_properties()};
  int found = 0;
  for (std::string line; std::getline(table, line);) {
    const std::string name = line.substr(0, line.find(' '));
    const bool sounds = has(name, "pass") || has(name, "secret") || has(name, "key.pem") ||
                        has(name, "credential") || has(name, "private");
    if (!sounds) continue;
    ++found;
    CAPTURE(name);
    CHECK(is_secret(name));
  }
  CHECK(found >= 5);
}

TEST_CASE("kafka: what is no secret may be shown") {
  for (const std::string_view name :
       {"", "acks", "sasl.username", "sasl.mechanism", "bootstrap.servers", "ssl.key.location",
        "ssl.ca.location", "ssl.certificate.pem", "group.id"}) {
    CAPTURE(name);
    CHECK_FALSE(is_secret(name));
  }
}

TEST_CASE("kafka: a value that may be secret is in no error, whatever is wrong with it") {
  std::istringstream table{table_of_properties()};
  for (std::string line; std::getline(table, line);) {
    const std::string name = line.substr(0, line.find(' '));
    if (!is_secret(name)) continue;
    CAPTURE(name);
    CHECK_FALSE(has(refusal({}, {{name, std::string("hunter2\xff\n\0", 10)}}), "hunter2"));
  }
}

TEST_CASE("kafka: the secrets of settings are all that are there") {
  const Settings settings{
      "a", {"PLAIN", "ann", "one"}, {true, "ca", "cert", "key", "two"},
      {{"ssl.key.pem", "three"}, {"client.id", "four"}, {"ssl.keystore.password", "five"}}};
  const std::vector<std::string> secrets = secrets_of(settings);
  const std::string text =
      without_secrets("one two three four five ann ca cert key", secrets);
  CHECK(text == "*** *** *** four *** ann ca cert key");
}

TEST_CASE("kafka: secrets are blanked wherever they stand") {
  struct Case {
    std::string_view text;
    std::vector<std::string> secrets;
    std::string_view expected;
  };
  const Case cases[] = {
      {"", {"x"}, ""},
      {"nothing", {}, "nothing"},
      {"nothing", {""}, "nothing"},
      {"nothing", {"x", "", "y"}, "nothing"},
      {"hunter2", {"hunter2"}, "***"},
      {"a hunter2 b hunter2", {"hunter2"}, "a *** b ***"},
      {"hunter", {"hunter2"}, "hunter"},
      {"abcdef", {"abc", "abcdef"}, "***"},
      {"abcdef", {"abcdef", "abc"}, "***"},
      {"xabcdy", {"abc", "bcd"}, "x***y"},
      {"abab", {"aba"}, "***b"},
      {"ababab", {"abab"}, "***"},
      {"a*b", {"*"}, "a***b"},
      {"***", {"*", "**"}, "***"},
      {"one two", {"one", "two"}, "*** ***"},
      {std::string_view{"a\0b", 3}, {std::string{"\0", 1}}, "a***b"},
  };
  for (const Case& each : cases) {
    CAPTURE(each.text);
    CHECK(without_secrets(each.text, each.secrets) == each.expected);
  }
}

TEST_CASE("kafka: a list of brokers is hosts, with ports or without") {
  for (const std::string_view good :
       {"localhost", "localhost:9092", "a:1,b:65535", "a, b:2 ,c", "127.0.0.1:9092", "[::1]:9092",
        "[fe80::1]", "broker-1.example.com:19092", "my_host:1"}) {
    CAPTURE(good);
    CHECK(is_broker_list(good));
  }
  for (const std::string_view bad :
       {"", " ", ",", "a,", ",a", "a,,b", ":9092", "a:", "a:0", "a:65536", "a:99999999999", "a:-1",
        "a:+1", "a:x", "a:1x", "a:1:2", "kafka://a:1", "a b:1", "user:secret@a", "user@a:1", "a/b",
        "[::1", "::1", "[]", "[]:1", "[::1]9092", "[::1]:", "[a]b:1", "a]:1"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_broker_list(bad));
  }
}

TEST_CASE("kafka: what librdkafka logs is heard, and nothing of it printed") {
  Listener listener;
  const std::string printed = stderr_of([&] {
    ConfBuilder conf;
    conf.add(Properties{{"debug", "conf"}}).call(listener);
    rd_kafka_destroy(conf.make(RD_KAFKA_PRODUCER, {}));
  });
  CHECK(printed == "");
  bool told = false;
  for (const std::string& line : listener.lines()) told |= has(line, "bootstrap.servers");
  CHECK(told);
}

TEST_CASE("kafka: a client that only checks its settings is not heard") {
  CHECK(stderr_of([] {
          ConfBuilder conf;
          conf.add(Properties{{"debug", "conf"}}).quiet();
          rd_kafka_destroy(conf.make(RD_KAFKA_PRODUCER, {}));
        }) == "");
}
