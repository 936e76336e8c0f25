// node-postgres in real use; prints a transcript that must be the same direct and through the gateway.
// The way to the server comes from PGHOST and its kin; PGSSLROOTCERT switches TLS on.

const fs = require('fs');
const { createRequire } = require('module');
const { Client, Pool } = createRequire(process.env.NODE_TOOLS + '/')('pg');

const ca = process.env.PGSSLROOTCERT;
const settings = {
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT),
  user: process.env.PGUSER,
  password: process.env.PGPASSWORD,
  database: process.env.PGDATABASE,
  ssl: ca ? { ca: fs.readFileSync(ca, 'utf8'), servername: process.env.PGHOST } : false,
};
// pg reads PGSSLMODE and its kin by itself; what is set above shall win.
for (const name of ['PGSSLMODE', 'PGSSLROOTCERT']) delete process.env[name];

const say = (...words) => console.log(...words.map((word) => (typeof word === 'string' ? word : JSON.stringify(word))));

async function fails(what, promise) {
  try {
    await promise;
    say(what, 'did not fail');
  } catch (error) {
    say(what, error.code, error.message);
  }
}

async function statements(client) {
  await client.query('CREATE TABLE n (id int PRIMARY KEY, body text, at timestamptz, doc jsonb, list int[])');
  const insert = 'INSERT INTO n VALUES ($1, $2, $3, $4, $5) RETURNING *';
  say('insert', (await client.query(insert, [1, 'é🦀', new Date(0), { a: [1] }, [1, 2]])).rows);
  say('insert', (await client.query(insert, [2, null, null, null, null])).rows);
  const named = { name: 'find', text: 'SELECT body FROM n WHERE id = $1' };
  for (const id of [1, 2, 3]) say('named', (await client.query({ ...named, values: [id] })).rows);
  say('array mode', (await client.query({ text: 'SELECT id, body FROM n ORDER BY id', rowMode: 'array' })).rows);
  say('multi', (await client.query('SELECT 1 AS a; SELECT 2 AS b')).map((result) => result.rows));
  say('types', (await client.query("SELECT 1::int8, 1.5::numeric, true, '\\x00ff'::bytea, '2026-01-02'::date::text")).rows);
  say('empty', (await client.query('')).rows);
  await fails('unique', client.query(insert, [1, 'x', null, null, null]));
  await fails('syntax', client.query('SELEC 1'));
  await fails('parameter', client.query('SELECT $1::int', ['x']));
  say('fields', (await client.query('SELECT id, body FROM n LIMIT 0')).fields.map((field) => [field.name, field.dataTypeID]));
}

async function transactions(client) {
  await client.query('BEGIN');
  await client.query("INSERT INTO n (id) VALUES (3)");
  await fails('in a transaction', client.query('SELECT nonsense'));
  await fails('aborted', client.query('SELECT 1'));
  await client.query('ROLLBACK');
  say('rolled back', (await client.query('SELECT count(*) FROM n')).rows);
}

async function queued(client) {
  const results = await Promise.all(Array.from({ length: 100 }, (_, i) => client.query('SELECT $1::int AS n', [i])));
  say('queued', results.reduce((sum, result) => sum + result.rows[0].n, 0));
  const big = await client.query("SELECT repeat('q', 5000000) AS big");
  say('big', big.rows[0].big.length);
  const many = await client.query('SELECT g, md5(g::text) FROM generate_series(1, 20000) g');
  say('many', many.rowCount, many.rows[19999]);
}

async function events(client) {
  client.on('notice', (notice) => say('notice', notice.severity, notice.message));
  await client.query("DO $$ BEGIN RAISE NOTICE 'from node'; END $$");
  const heard = new Promise((resolve) => client.once('notification', resolve));
  await client.query('LISTEN node');
  await client.query("NOTIFY node, 'payload'");
  const message = await heard;
  say('notification', message.channel, message.payload);
}

async function pools() {
  const pool = new Pool({ ...settings, max: 5 });
  const sums = await Promise.all(Array.from({ length: 50 }, (_, i) => pool.query('SELECT $1::int + 1 AS n', [i])));
  say('pool', sums.reduce((sum, result) => sum + result.rows[0].n, 0));
  await fails('pool error', pool.query('SELECT 1 / 0'));
  await pool.end();
}

async function main() {
  const client = new Client(settings);
  await client.connect();
  await statements(client);
  await transactions(client);
  await queued(client);
  await events(client);
  await client.query('DROP TABLE n');
  await client.end();
  await pools();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
