select name, count(*) from {{ ref('orders') }} group by name
