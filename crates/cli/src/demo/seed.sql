-- The demo's shop: made here, nobody in it is real. The same seed gives the same shop every time.
select setseed(0.42);

create table customers (
    id bigint generated always as identity primary key,
    name text not null,
    email text not null unique,
    country text not null,
    since date not null
);

create table products (
    id bigint generated always as identity primary key,
    title text not null,
    price_cents integer not null check (price_cents > 0)
);

create table orders (
    id bigint generated always as identity primary key,
    customer_id bigint not null references customers,
    placed_at timestamptz not null,
    status text not null check (status in ('new', 'paid', 'packed', 'shipped', 'returned')),
    total_cents integer not null default 0,
    note text
);

create table order_items (
    order_id bigint not null references orders,
    line integer not null,
    product_id bigint not null references products,
    quantity integer not null check (quantity > 0),
    primary key (order_id, line)
);

insert into customers (name, email, country, since)
select
    first_name || ' ' || last_name,
    lower(first_name) || '.' || lower(last_name) || n || '@example.com',
    (array['DE', 'FR', 'IN', 'PT', 'US', 'BR', 'JP', 'PL'])[1 + n % 8],
    date '2019-01-01' + (random() * 2500)::integer
from (
    select
        n,
        (array['Mara', 'Jonas', 'Priya', 'Luis', 'Aiko', 'Zofia', 'Tomas', 'Ines', 'Omar', 'Greta'])[1 + n % 10] as first_name,
        (array['Weber', 'Silva', 'Nair', 'Moreau', 'Tanaka', 'Nowak', 'Costa', 'Haddad', 'Olsen'])[1 + n % 9] as last_name
    from generate_series(1, 5000) as n
) as people;

insert into products (title, price_cents)
select
    (array['Kettle', 'Lamp', 'Notebook', 'Backpack', 'Mug', 'Chair', 'Clock', 'Scarf'])[1 + n % 8]
    || ' ' || (array['small', 'large', 'blue', 'oak', 'travel'])[1 + n % 5] || ' ' || n,
    500 + (random() * 12000)::integer
from generate_series(1, 200) as n;

insert into orders (customer_id, placed_at, status)
select
    1 + (random() * 4999)::bigint,
    timestamptz '2026-01-01 00:00+00' + random() * interval '180 days',
    (array['new', 'paid', 'packed', 'shipped', 'shipped', 'shipped', 'returned'])[1 + (random() * 6)::integer]
from generate_series(1, 20000) as n;

insert into order_items (order_id, line, product_id, quantity)
select id, line, 1 + (random() * 199)::bigint, 1 + (random() * 4)::integer
from orders, generate_series(1, 1 + (orders.id % 3)::integer) as line;

update orders
set total_cents = sums.total
from (
    select order_id, sum(quantity * price_cents) as total
    from order_items join products on products.id = product_id
    group by order_id
) as sums
where orders.id = sums.order_id;

create index on orders (customer_id);
create index on orders (placed_at);
analyze;

create role orders_gateway login;
grant select, insert, update, delete on all tables in schema public to orders_gateway;
