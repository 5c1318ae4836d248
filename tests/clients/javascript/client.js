// The story of tests/clients/test_clients.py with the neo4j driver for JavaScript.
// Usage: node client.js bolt://HOST:PORT NAME; prints one line of JSON.
import neo4j from 'neo4j-driver'

const [url, name] = process.argv.slice(2)
const driver = neo4j.driver(url, neo4j.auth.basic('', ''), { disableLosslessIntegers: true })
const session = driver.session({ fetchSize: 100 })

const count = async () =>
  (await session.run('MATCH (n:Client {name: $name}) RETURN count(n) AS c', { name }))
    .records[0].get('c')

const written = await session.run('CREATE (n:Client {name: $name, n: 1}) RETURN n', { name })
const node = written.records[0].get('n')

let code = null
try {
  await session.run('CREAT (n)')
} catch (error) {
  code = error.code
}

const transaction = await session.beginTransaction()
await transaction.run('CREATE (:Client {name: $name})', { name })
await transaction.rollback()
const kept = await count()
await session.executeWrite(tx => tx.run('CREATE (:Client {name: $name})', { name }))

let rows = 0
let sum = 0
for await (const record of session.run('UNWIND range(1, 10000) AS i RETURN i, [i] AS l')) {
  rows += 1
  sum += record.get('l')[0]
}

const summary = written.summary
console.log(JSON.stringify({
  created: summary.counters.updates().nodesCreated,
  read: node.properties.name,
  labels: node.labels,
  code,
  kept,
  committed: await count(),
  rows,
  sum,
  database: summary.database.name,
  protocol: `${summary.server.protocolVersion.major}.${summary.server.protocolVersion.minor}`
}))
await session.close()
await driver.close()
