// The story of tests/clients/test_clients.py with the neo4j driver for Java.
// Usage: java -cp 'lib/*' Client.java bolt://HOST:PORT NAME; prints one line of JSON.
import java.util.Map;
import org.neo4j.driver.AuthTokens;
import org.neo4j.driver.Config;
import org.neo4j.driver.GraphDatabase;
import org.neo4j.driver.Query;
import org.neo4j.driver.Session;
import org.neo4j.driver.SessionConfig;
import org.neo4j.driver.exceptions.Neo4jException;

public class Client {
    public static void main(String[] arguments) {
        var config = Config.builder().withFetchSize(100).build();
        try (var driver = GraphDatabase.driver(arguments[0], AuthTokens.none(), config);
                var session = driver.session(SessionConfig.defaultConfig())) {
            tell(session, Map.of("name", arguments[1]));
        }
    }

    private static void tell(Session session, Map<String, Object> name) {
        var create = new Query("CREATE (:Client {name: $name})", name);
        var written = session.run("CREATE (n:Client {name: $name, n: 1}) RETURN n", name);
        var node = written.single().get("n").asNode();
        var summary = written.consume();
        var code = "none";
        try {
            session.run("CREAT (n)").consume();
        } catch (Neo4jException refused) {
            code = refused.code();
        }
        try (var transaction = session.beginTransaction()) {
            transaction.run(create).consume();
            transaction.rollback();
        }
        var kept = count(session, name);
        session.executeWriteWithoutResult(transaction -> transaction.run(create).consume());
        long rows = 0;
        long sum = 0;
        var stream = session.run("UNWIND range(1, 10000) AS i RETURN i, [i] AS l");
        while (stream.hasNext()) {
            rows += 1;
            sum += stream.next().get("l").get(0).asLong();
        }
        System.out.printf(
                "{\"created\": %d, \"read\": \"%s\", \"labels\": [\"%s\"], \"code\": \"%s\", \"kept\": %d,"
                        + " \"committed\": %d, \"rows\": %d, \"sum\": %d, \"database\": \"%s\","
                        + " \"protocol\": \"%s\"}%n",
                summary.counters().nodesCreated(),
                node.get("name").asString(),
                String.join("\", \"", node.labels()),
                code,
                kept,
                count(session, name),
                rows,
                sum,
                summary.database().name(),
                summary.server().protocolVersion());
    }

    private static long count(Session session, Map<String, Object> name) {
        var query = "MATCH (n:Client {name: $name}) RETURN count(n) AS c";
        return session.run(query, name).single().get("c").asLong();
    }
}
