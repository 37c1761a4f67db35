// SPDX-License-Identifier: MIT
#include <omnibus/backends/rabbitmq/endpoint.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::rabbitmq;
using namespace omnibus::unit;

namespace {

/// "user password host port vhost", and "tls" behind it.
std::string parts(std::string_view url) {
  std::string text;
  for (const Endpoint& each : parse_endpoints(url)) {
    text += (text.empty() ? "" : ", ") + each.user + " " + each.password + " " + each.host + " " +
            std::to_string(each.port) + " " + each.vhost + (each.tls ? " tls" : "");
  }
  return text;
}

std::string name(std::string_view url) { return parse_endpoints(url).at(0).name(); }

}  // namespace

TEST_CASE("rabbitmq: the parts of a URL, and what stands for those that are missing") {
  CHECK(parts("amqp://u:p@h:1234/v") == "u p h 1234 v");
  CHECK(parts("amqp://h") == "guest guest h 5672 /");
  CHECK(parts("amqp://u:p@h/v") == "u p h 5672 v");
  CHECK(parts("amqps://u:p@h/v") == "u p h 5671 v tls");
  CHECK(parts("amqps://h:1/") == "guest guest h 1 / tls");
}

TEST_CASE("rabbitmq: the vhost") {
  CHECK(parts("amqp://u:p@h/") == "u p h 5672 /");
  CHECK(parts("amqp://u:p@h/%2F") == "u p h 5672 /");
  CHECK(parts("amqp://u:p@h/%2f") == "u p h 5672 /");
  CHECK(parts("amqp://u:p@h/a%2Fb") == "u p h 5672 a/b");
}

TEST_CASE("rabbitmq: what is percent-encoded may be of any language") {
  CHECK(parts("amqp://u:%C3%BC@h/%c3%bc") == "u \xc3\xbc h 5672 \xc3\xbc");
}

TEST_CASE("rabbitmq: user and password may be of any bytes, percent-encoded") {
  CHECK(parts("amqp://u%40x:%3A%2F%40%25%2C@h/v") == "u@x :/@%, h 5672 v");
}

TEST_CASE("rabbitmq: a host may be an address") {
  CHECK(parts("amqp://u:p@192.168.0.1:7/v") == "u p 192.168.0.1 7 v");
  CHECK(parts("amqp://u:p@[::1]:7/v") == "u p ::1 7 v");
  CHECK(parts("amqp://[fe80::1]/v") == "guest guest fe80::1 5672 v");
}

TEST_CASE("rabbitmq: several nodes") {
  CHECK(parts("amqp://a,amqps://u:p@b:7/v,amqp://[::1]") ==
        "guest guest a 5672 /, u p b 7 v tls, guest guest ::1 5672 /");
}

TEST_CASE("rabbitmq: what is no URL is refused without showing it") {
  for (const std::string_view url :
       {"", ",", "amqp://a,", ",amqp://a", "h", "http://user:secret@h", "AMQP://user:secret@h",
        "amqp:/user:secret@h", "amqp://user:secret@h:port", "amqp://user:secret@h:70000",
        "amqp://user:secret@h:-1", "amqp://user:secret@h:5x", "amqp://user:secret@[::1",
        "amqp://user:secret@h/a/b", "amqp://user:secret%zz@h", "amqp://user:secret%2@h",
        "amqp://user:secret@h@h", "amqp://user:sec/ret@h", "amqp://user:12/secret@h",
        "amqp://user:secret,@h", "amqp://user:secret:5672/v",
        "amqp://good:secret@h,amqp://user:secret@h:no"}) {
    CAPTURE(url);
    bool thrown = false;
    try {
      (void)parse_endpoints(url);
    } catch (const std::invalid_argument& error) {
      thrown = true;
      const std::string_view what = error.what();
      CHECK(what.find("secret") == std::string_view::npos);
      CHECK(what.find("rabbitmq: endpoint") != std::string_view::npos);
    }
    CHECK(thrown);
  }
}

TEST_CASE("rabbitmq: an endpoint's name shows neither user nor password") {
  CHECK(name("amqp://user:secret@h:7/v") == "amqp://h:7/v");
  CHECK(name("amqps://user:secret@h") == "amqps://h:5671/");
  CHECK(name("amqp://user:secret@h/%2F") == "amqp://h:5672/");
  CHECK(name("amqp://user:%40secret%3A@[::1]/v").find("secret") == std::string::npos);
}
