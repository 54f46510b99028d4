create table products (name text primary key, kind text not null, price integer not null);
create table orders (product text not null references products, quantity integer not null);
insert into products values
  ('Swift 14', 'laptop', 64900), ('Titan 17', 'laptop', 149900), ('Felt sleeve', 'sleeve', 1900), ('Arc', 'lamp', 3900);
